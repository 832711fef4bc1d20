"""Damage that decoders pass over: in the strips of a TIFF, and in the stream of a WebP."""

from __future__ import annotations

import io
import random
import struct
import zlib
from itertools import product
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

from media_enricher.models import AssetStatus, ErrorCode, Findings
from media_enricher.probe.image import jpeg_decoder, tiff_damage
from tests.probe.samples import full, photograph, saved
from tests.trust.damage import flipped, zeroed

pytestmark = pytest.mark.unit

SOUND = (AssetStatus.ENRICHED, None, None)
TRUNCATED = (AssetStatus.ENRICHED, None, ["truncated"])
FORMATS: dict[str, tuple[str, dict[str, Any], int]] = {
    "Deflate": ("tiff", {"compression": "tiff_adobe_deflate"}, 8),
    "JPEG": ("tiff", {"compression": "jpeg"}, 6),
    "LZW": ("tiff", {"compression": "tiff_lzw"}, 6),
    "lossless": ("webp", {"lossless": True, "method": 0}, 5),
    "lossy": ("webp", {"quality": 80, "method": 2}, 6),
}
"""How a picture is saved, and of how many of 8 damaged ones it must be told, at least."""


def state(found: Findings) -> tuple[AssetStatus, ErrorCode | None, list[str] | None]:
    return found.status, found.error_code, found.warnings


def is_told(data: bytes) -> bool:
    found = full(data)
    return found.status is AssetStatus.FAILED or found.warnings == ["damaged"]


@pytest.mark.parametrize("name", FORMATS)
def test_zeroed_and_flipped_bytes_are_told(name: str) -> None:
    image_format, how, least = FORMATS[name]
    data = saved(photograph(300, 200), image_format, **how)
    assert state(full(data)) == SOUND
    hurt = [harm(data, random.Random(seed)) for seed in range(4) for harm in (zeroed, flipped)]
    assert sum(map(is_told, hurt)) >= least


def test_runs_that_do_not_end_with_their_row_are_told() -> None:
    data = saved(Image.new("L", (200, 100), 7), "tiff", compression="packbits")
    assert state(full(data)) == SOUND
    hurt = bytearray(data)
    at = data.index(b"\xb9\x07") + 4 * 30  # the length of a row's second run, in the middle
    hurt[at] ^= 1
    assert is_told(bytes(hurt))


@pytest.mark.parametrize(
    ("compression", "mode"),
    [
        *product(("tiff_adobe_deflate", "packbits", "tiff_lzw"), ("1", "L", "RGB", "RGBA", "CMYK")),
        *product(("jpeg",), ("L", "RGB", "CMYK")),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (131, 77)])
def test_sound_pictures_of_all_modes_are_not_called_damaged(
    size: tuple[int, int], compression: str, mode: str
) -> None:
    data = saved(photograph(*size).convert(mode), "tiff", compression=compression)
    assert state(full(data)) == SOUND


class NoInflating:
    """The module zlib without what inflates."""

    adler32 = zlib.adler32
    error = zlib.error


def deflated(mode: str, predictor: int, orientation: int) -> bytes:
    """A TIFF of several Deflate strips, the last of which is lower."""
    file = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274], tags[317] = orientation, predictor
    photograph(131, 77).convert(mode).save(
        file, "tiff", compression="tiff_adobe_deflate", tiffinfo=tags, strip_size=131 * 4 * 10
    )
    return file.getvalue()


def tiff_of(strips: list[bytes], order: str) -> bytes:
    """A grey TIFF of 64 x 32 pixels, in Deflate strips of 16 rows."""
    content, places = b"", []
    for strip in strips:
        places.append(8 + len(content))
        content += strip + bytes(len(strip) % 2)
    lists = 8 + len(content)
    content += struct.pack(f"{order}4I", *places, *map(len, strips))
    entries = [
        (256, 64), (257, 32), (258, 8), (259, 8), (262, 1), (277, 1), (278, 16),
    ]  # fmt: skip
    rows = [struct.pack(f"{order}HHIHxx", tag, 3, 1, value) for tag, value in entries]
    rows += [struct.pack(f"{order}HHII", 273, 4, 2, lists)]
    rows += [struct.pack(f"{order}HHII", 279, 4, 2, lists + 8)]
    rows.sort(key=lambda row: struct.unpack(f"{order}H", row[:2]))
    start = 8 + len(content)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", len(rows)) + b"".join(rows) + bytes(4)
    return magic + struct.pack(f"{order}I", start) + content + directory


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_checksum_of_every_strip_counts(order: str) -> None:
    strips = [zlib.compress(bytes(range(64)) * 16), zlib.compress(bytes(64 * 16))]
    assert state(full(tiff_of(strips, order))) == SOUND
    for number in (0, 1):
        wrong = list(strips)
        wrong[number] = wrong[number][:-1] + bytes((wrong[number][-1] ^ 1,))
        assert is_told(tiff_of(wrong, order))


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK"])
def test_a_sound_strip_is_not_inflated_again(
    mode: str, predictor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checksum is that of the samples that libtiff made, however the picture is turned."""
    monkeypatch.setattr(tiff_damage, "zlib", NoInflating)
    for orientation in range(1, 9):
        data = deflated(mode, predictor, orientation)
        assert state(full(data)) == SOUND


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("orientation", [1, 6])
def test_damage_is_told_however_the_picture_is_turned(orientation: int, predictor: int) -> None:
    data = deflated("RGB", predictor, orientation)
    for seed in range(8):
        hurt = zeroed(data, random.Random(seed))
        assert is_told(hurt)


def test_strips_whose_samples_are_not_the_picture_s_are_inflated() -> None:
    """With 0 as white, or with bytes behind the stream, the checksum is that of other samples."""
    strips = [zlib.compress(bytes(range(64)) * 16), zlib.compress(bytes(64 * 16))]
    inverted = tiff_of(strips, "<").replace(
        struct.pack("<HHIH", 262, 3, 1, 1), struct.pack("<HHIH", 262, 3, 1, 0)
    )
    padded = tiff_of([strip + bytes(3) for strip in strips], "<")
    for data in (inverted, padded):
        assert state(full(data)) == SOUND
        at = data.index(strips[1]) + len(strips[1]) - 1
        hurt = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        assert is_told(hurt)


def test_rows_that_make_no_sense_are_no_error() -> None:
    strips = [zlib.compress(bytes(64 * 32)), zlib.compress(bytes(64 * 16))]
    named = struct.pack("<HHIH", 278, 3, 1, 16)
    for field_type, rows in ((3, 0), (3, 33), (4, 2**32 - 1), (9, 2**32 - 16)):
        said = struct.pack("<HHII", 278, field_type, 1, rows)
        found = full(tiff_of(strips, "<").replace(named + bytes(2), said))
        assert found.error_code in {None, ErrorCode.CORRUPT, ErrorCode.TRUNCATED}


def test_strips_that_are_bombs_cost_little() -> None:
    bomb = zlib.compress(bytes(40_000_000))
    found = full(tiff_of([bomb, bomb], "<"))
    assert state(found) == SOUND  # libtiff takes what a strip needs, and so do viewers


def animated_webp(**how: Any) -> bytes:
    first, *others = [photograph(120, 80, seed=seed) for seed in range(3)]
    file = io.BytesIO()
    first.save(file, "webp", save_all=True, append_images=others, duration=100, **how)
    return file.getvalue()


@pytest.mark.parametrize("how", [{"lossless": True}, {"quality": 80}], ids=str)
def test_a_webp_animation_that_is_cut_after_its_first_frame_shows(how: dict[str, Any]) -> None:
    """As a GIF does."""
    data = animated_webp(**how)
    whole = full(data)
    assert (state(whole), whole.frame_count) == (SOUND, 3)
    for share in (0.5, 0.9, 0.999):
        found = full(data[: int(len(data) * share)])
        assert (state(found), found.frame_count, found.is_animated) == (TRUNCATED, None, True)
        assert found.blurhash == whole.blurhash
        assert "truncated-but-shown" in (found.labels or [])
    cut = full(data[: len(data) // 5])
    assert state(cut) == (AssetStatus.FAILED, ErrorCode.TRUNCATED, None)


def test_a_webp_that_is_cut_behind_its_picture_shows() -> None:
    exif = Image.Exif()
    exif[271] = "Maker" * 20
    data = saved(photograph(120, 80), "webp", exif=exif.tobytes())
    found = full(data[:-40])
    assert (state(found), found.frame_count) == (TRUNCATED, 1)
    assert found.blurhash == full(data).blurhash


def test_the_frames_of_a_webp_animation_are_asked_too() -> None:
    data = animated_webp(quality=80)
    at = data.index(b"VP8 ") + 300
    hurt = bytearray(data)
    hurt[at : at + 400] = bytes(400)
    assert is_told(bytes(hurt))


def test_a_stream_that_says_it_is_huge_is_not_decoded_to_look_for_damage() -> None:
    data = bytearray(saved(photograph(60, 40), "webp", quality=80))
    at = data.index(b"\x9d\x01\x2a") + 3
    data[at : at + 4] = struct.pack("<2H", 16_383, 16_383)
    found = full(bytes(data))
    assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.TOO_MANY_PIXELS)


def test_tiles_that_say_they_are_huge_are_not_decoded_to_look_for_damage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes] = []

    def is_warned_of(data: bytes, _: object) -> bool:
        asked.append(data)
        return False

    monkeypatch.setattr(jpeg_decoder, "is_warned_of", is_warned_of)
    data = saved(photograph(64, 64), "tiff", compression="jpeg")
    full(data)
    assert len(asked) == 1
    huge = bytearray(data)
    at = data.index(b"\xff\xc0") + 5
    huge[at : at + 4] = struct.pack(">2H", 65_000, 65_000)
    full(bytes(huge))
    assert len(asked) == 1
