"""Damage: one rule for one kind of it, in every decoding path."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from media_enricher.models import AssetStatus, ErrorCode, Findings
from media_enricher.probe.image.jpeg_scans import read_scans
from tests.probe.samples import full, photograph, saved

DAMAGED = ["damaged"]
END = b"\xff\xd9"
SIZES = [(300, 200), (1200, 800), (1800, 1200)]
"""Decoded at full size, at an eighth, and a progressive one by its coarse scans alone."""


def jpeg(size: tuple[int, int], *, progressive: bool, mode: str = "RGB") -> bytes:
    return saved(photograph(*size).convert(mode), "jpeg", progressive=progressive, quality=90)


def state(found: Findings) -> tuple[AssetStatus, ErrorCode | None, list[str] | None]:
    return found.status, found.error_code, found.warnings


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", SIZES)
class TestJpeg:
    def test_sound(self, size: tuple[int, int], progressive: bool, mode: str) -> None:
        data = jpeg(size, progressive=progressive, mode=mode)
        assert state(full(data)) == (AssetStatus.ENRICHED, None, None)
        assert state(full(data + b"what follows the end" * 50)) == (
            AssetStatus.ENRICHED,
            None,
            None,
        )

    def test_all_scans_without_the_end_marker_are_sound(
        self, size: tuple[int, int], progressive: bool, mode: str
    ) -> None:
        data = jpeg(size, progressive=progressive, mode=mode)
        assert data.endswith(END)
        for cut in (data[:-2], data[:-1]):
            found = full(cut)
            assert state(found) == (AssetStatus.ENRICHED, None, None)
            assert found.blurhash == full(data).blurhash or progressive  # the finer scans count

    def test_a_cut_scan_is_truncated(
        self, size: tuple[int, int], progressive: bool, mode: str
    ) -> None:
        data = jpeg(size, progressive=progressive, mode=mode)
        for length in (len(data) // 2, len(data) - len(data) // 50):
            found = full(data[:length])
            assert state(found) == (AssetStatus.FAILED, ErrorCode.TRUNCATED, None)

    def test_zeros_in_a_scan_are_damage(
        self, size: tuple[int, int], progressive: bool, mode: str
    ) -> None:
        data = bytearray(jpeg(size, progressive=progressive, mode=mode))
        at = len(data) * 6 // 10
        data[at : at + 1024] = bytes(1024)
        found = full(bytes(data))
        assert state(found) == (AssetStatus.ENRICHED, None, DAMAGED)
        assert found.blurhash


@pytest.mark.parametrize("progressive", [False, True])
def test_flipped_bytes_of_a_scan_are_damage(progressive: bool) -> None:
    """Most of them: a decoder may find its way again before it meets what it warns of."""
    told = 0
    for seed in range(10):
        numbers = random.Random(seed)
        data = bytearray(jpeg((1200, 800), progressive=progressive))
        for _ in range(8):
            data[numbers.randrange(len(data) // 5, len(data) - 2)] ^= numbers.randrange(1, 256)
        found = full(bytes(data))
        told += found.warnings == DAMAGED or found.status is AssetStatus.FAILED
    assert told >= 6


def test_bytes_between_segments_are_no_damage_of_pixels() -> None:
    data = jpeg((300, 200), progressive=False)
    junk = data[:20] + b"junk between segments" + data[20:]
    assert state(full(junk)) == (AssetStatus.ENRICHED, None, None)
    hurt = bytearray(junk)
    at = len(hurt) * 6 // 10
    hurt[at : at + 1024] = bytes(1024)
    assert state(full(bytes(hurt))) == (AssetStatus.ENRICHED, None, DAMAGED)


def test_scans_that_are_missing_are_noticed_where_the_end_is() -> None:
    data = jpeg((300, 200), progressive=True)
    last = data.rindex(b"\xff\xda")
    tables = data.rindex(b"\xff\xc4", 0, last)
    assert state(full(data[:tables])) == (AssetStatus.FAILED, ErrorCode.TRUNCATED, None)
    assert state(full(data[:tables] + END)) == (AssetStatus.ENRICHED, None, None)


def test_scans_are_walked() -> None:
    whole = read_scans(jpeg((300, 200), progressive=True))
    assert (whole.has_end, whole.is_complete, whole.is_damaged) == (True, True, False)
    assert whole.coarse_end
    cut = read_scans(jpeg((300, 200), progressive=True)[:-2])
    assert (cut.has_end, cut.is_complete, cut.is_damaged) == (False, True, False)


def test_a_sound_flat_picture_is_not_called_damaged() -> None:
    """Its scans may hold little but zeros."""
    for colour in ("black", "white", "teal"):
        for progressive in (False, True):
            picture = Image.new("RGB", (3000, 2000), colour)
            file = io.BytesIO()
            picture.save(file, "jpeg", progressive=progressive, optimize=True)
            assert state(full(file.getvalue())) == (AssetStatus.ENRICHED, None, None)


def animation(frames: int = 3) -> bytes:
    first, *others = [photograph(120, 80, seed=seed) for seed in range(frames)]
    file = io.BytesIO()
    first.save(file, "gif", save_all=True, append_images=others, duration=100)
    return file.getvalue()


def test_an_animation_that_is_cut_after_its_first_frame_shows() -> None:
    data = animation()
    still = full(saved(photograph(120, 80, seed=0), "gif"))
    for share in (0.5, 0.9, 0.999):
        found = full(data[: int(len(data) * share)])
        assert state(found) == (AssetStatus.ENRICHED, None, ["truncated"])
        assert (found.frame_count, found.is_animated) == (None, True)
        assert found.blurhash == still.blurhash
        assert found.labels is not None
        assert "truncated-but-shown" in found.labels
    assert state(full(data[: len(data) // 5])) == (AssetStatus.FAILED, ErrorCode.TRUNCATED, None)
    assert state(full(data)) == (AssetStatus.ENRICHED, None, None)


def test_junk_amid_an_animation_is_damage() -> None:
    data = animation()
    hurt = bytearray(data)
    at = len(hurt) * 6 // 10
    hurt[at : at + 300] = bytes(300)
    assert state(full(bytes(hurt))) == (AssetStatus.ENRICHED, None, DAMAGED)
    for padded in (data[:-1] + b"\0\0;", data + bytes(40), data[:-1] + bytes(40)):
        assert state(full(padded)) == (AssetStatus.ENRICHED, None, None)
