"""What is held of an object: its start and parts further on, and what is asked for next."""

from __future__ import annotations

import io

import pytest

from media_enricher.models import ErrorCode, Findings
from media_enricher.probe import NeedRanges, ProbeOptions, probe_full
from media_enricher.probe.parts import Parts
from media_enricher.probe.source import (
    ByteRange,
    MoreBytesError,
    UnreadableError,
    Window,
    WindowFile,
)
from tests.probe.samples import photograph, saved

OBJECT = bytes(range(256)) * 4096
MIB = len(OBJECT)


def window(*parts: tuple[int, int], limit: int | None = None) -> Window:
    """A window with the object's first 100 bytes and these parts (start, stop) of it."""
    rest = [(start, OBJECT[start:stop]) for start, stop in parts]
    return Window(OBJECT[:100], len(OBJECT), rest, limit)


def wanted(look: Window, offset: int, length: int) -> ByteRange:
    with pytest.raises(MoreBytesError) as missed:
        look.read(offset, length)
    return missed.value.wanted


def test_any_part_that_is_held_is_read() -> None:
    look = window((500_000, 500_100), (900_000, 901_000))
    assert look.read(90, 10) == OBJECT[90:100]
    assert look.read(500_010, 90) == OBJECT[500_010:500_100]
    assert look.peek(900_999, 1) == OBJECT[900_999:901_000]
    assert look.peek(900_999, 2) is None


def test_bytes_close_by_are_asked_for_without_a_gap() -> None:
    assert wanted(window(), 150, 10).start == 100
    assert wanted(window((500_000, 500_100)), 500_090, 20).start == 500_100


def test_bytes_far_off_are_asked_for_alone() -> None:
    far = wanted(window(), 600_000, 8)
    assert far.start == 600_000
    assert 8 <= far.stop - far.start < 64_000


def test_a_part_that_is_read_on_doubles() -> None:
    more = wanted(window((500_000, 600_000)), 600_000, 1)
    assert more == ByteRange(600_000, 700_000)


def test_past_the_end_nothing_is_asked_for() -> None:
    assert wanted(window(), MIB - 8, 8).stop == MIB
    with pytest.raises(UnreadableError) as refused:
        window().read(MIB - 8, 9)
    assert refused.value.code is ErrorCode.TRUNCATED


def test_a_limit_counts_all_that_is_held() -> None:
    look = window((500_000, 500_100), limit=1_000)
    assert look.may_ask(MoreBytesError(ByteRange(600_000, 600_800)), 10_000)
    assert not look.may_ask(MoreBytesError(ByteRange(600_000, 600_801)), 10_000)
    assert not look.may_ask(MoreBytesError(ByteRange(600_000, 600_800)), 999)


def test_a_window_is_a_file() -> None:
    file = io.BufferedReader(WindowFile(Window(OBJECT)))
    file.seek(-10, io.SEEK_END)
    assert file.read() == OBJECT[-10:]
    assert file.seek(70) == 70
    assert file.read(5) == OBJECT[70:75]
    with pytest.raises(MoreBytesError):
        io.BufferedReader(WindowFile(window())).read(101)


def test_parts_that_touch_become_one() -> None:
    parts = Parts(OBJECT[:10])
    asked = [ByteRange(5, 20), ByteRange(40, 50)]
    assert parts.missing(asked) == [ByteRange(10, 20), ByteRange(40, 50)]
    parts.add(40, OBJECT[40:50])
    parts.add(10, OBJECT[10:20])
    assert (parts.first, parts.rest) == (OBJECT[:20], [(40, OBJECT[40:50])])
    assert parts.missing([ByteRange(0, 60)]) == [ByteRange(20, 40), ByteRange(50, 60)]
    parts.add(20, OBJECT[20:40])
    assert (parts.first, parts.rest) == (OBJECT[:50], [])
    assert (parts.joined, parts.layout, parts.length) == (OBJECT[:50], [(0, 50)], 50)


def test_full_depth_of_what_is_not_read_whole_says_so() -> None:
    data = saved(photograph(), "jpeg")
    found = probe_full(
        data[:20_000],
        path="a.jpg",
        declared_content_type=None,
        options=ProbeOptions(),
        size_bytes=5 * 2**30,
    )
    assert isinstance(found, Findings)
    assert (found.width, found.height, found.sha256) == (480, 320, None)
    assert found.warnings == ["not-read-whole"]


def test_full_depth_asks_for_the_ranges_that_it_needs() -> None:
    found = probe_full(
        b"\xff\xd8" + b"\xff\xe5\xff\xff" + bytes(2_000),
        path="a.jpg",
        declared_content_type=None,
        options=ProbeOptions(),
        size_bytes=5 * 2**30,
    )
    assert isinstance(found, NeedRanges)
