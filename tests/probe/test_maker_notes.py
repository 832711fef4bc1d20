"""The lens by the notes of its maker, where EXIF does not name it."""

from __future__ import annotations

import struct

import pytest

from media_enricher.probe import ProbeOptions
from tests.probe.carriers import ASCII, LONG, UNDEFINED, exif_in_jpeg, text, tiff
from tests.probe.samples import full


def directory(order: str, *entries: tuple[int, int, int, bytes]) -> bytes:
    """Entries as tag, field type, number of values, and the four bytes of the value."""
    packed = b"".join(
        struct.pack(f"{order}HHI4s", tag, kind, length, value)
        for tag, kind, length, value in entries
    )
    return struct.pack(f"{order}H", len(entries)) + packed + bytes(4)


def canon(order: str) -> bytes:
    return directory(order, (0x0095, ASCII, 4, b"EF9\0")) + bytes(20)


def olympus(order: str, head: bytes, kind: int = 13) -> bytes:
    """The lens stands in a directory of the equipment, at an offset from the notes' start."""
    inner = directory(order, (0x0203, ASCII, 4, b"M.1\0"))
    at = struct.pack(f"{order}I", len(head) + 18)
    return head + directory(order, (0x2010, kind, 1 if kind == 13 else len(inner), at)) + inner


def old_olympus(order: str) -> bytes:
    """Offsets count from the start of EXIF: the equipment is so small that none is needed."""
    return b"OLYMP\0\1\0" + directory(order, (0x2010, UNDEFINED, 4, b"\0\0\0\0")) + bytes(20)


@pytest.mark.parametrize(
    ("make", "order", "notes", "lens"),
    [
        ("Canon", "<", canon("<"), "EF9"),
        ("Canon", ">", canon(">"), "EF9"),
        ("OLYMPUS IMAGING CORP.", ">", olympus("<", b"OLYMPUS\0II\3\0"), "M.1"),
        ("OLYMPUS IMAGING CORP.", "<", olympus(">", b"OLYMPUS\0MM\3\0"), "M.1"),
        ("OLYMPUS CORPORATION", "<", olympus("<", b"OLYMPUS\0II\3\0", UNDEFINED), "M.1"),
        ("OM Digital Solutions", "<", olympus("<", b"OM SYSTEM\0\0\0II\4\0"), "M.1"),
        ("OLYMPUS", "<", old_olympus("<"), None),
        ("Acme", "<", canon("<"), None),
        ("Canon", "<", b"\xff" * 40, None),
        ("Canon", "<", b"", None),
    ],
)
def test_lens(make: str, order: str, notes: bytes, lens: str | None) -> None:
    block = tiff(order=order, base={0x010F: text(make)}, camera={0x927C: (UNDEFINED, notes)})
    found = full(exif_in_jpeg(block))
    assert (found.camera_make, found.lens) == (make, lens)


def test_a_lens_that_exif_names_goes_first() -> None:
    camera = {0x927C: (UNDEFINED, canon("<")), 0xA434: text("EF24-105mm")}
    block = tiff(base={0x010F: text("Canon")}, camera=camera)
    assert full(exif_in_jpeg(block)).lens == "EF24-105mm"


def test_notes_can_be_asked_for_as_a_tag() -> None:
    notes = b"0123456789" * 4
    block = tiff(base={0x010F: text("Acme")}, camera={0x927C: (UNDEFINED, notes)})
    found = full(exif_in_jpeg(block), options=ProbeOptions(exif_tags=("Make", "MakerNote")))
    assert found.exif == {"Make": "Acme", "MakerNote": notes.decode()}


def test_notes_that_point_at_themselves_end() -> None:
    notes = (
        b"OLYMPUS\0II\3\0" + directory("<", (0x2010, LONG, 1, struct.pack("<I", 12))) + bytes(20)
    )
    block = tiff(base={0x010F: text("OLYMPUS")}, camera={0x927C: (UNDEFINED, notes)})
    assert full(exif_in_jpeg(block)).lens is None


@pytest.mark.parametrize(
    ("tag", "make", "labels"),
    [
        (0x000B, "Apple", ["burst"]),
        (0x0011, "Apple", ["live-photo"]),
        (0x0011, "Orange", None),
        (0x0012, "Apple", None),
    ],
)
def test_apples_notes_tell_of_a_pictures_siblings(
    tag: int, make: str, labels: list[str] | None
) -> None:
    head = b"Apple iOS\0\0\1MM"
    notes = head + directory(">", (tag, ASCII, 4, b"ABC\0")) + bytes(20)
    block = tiff(base={0x010F: text(make)}, camera={0x927C: (UNDEFINED, notes)})
    found = full(exif_in_jpeg(block), "a.jpg")
    assert found.camera_make == make
    assert {"burst", "live-photo"} & set(found.labels or []) == set(labels or [])
