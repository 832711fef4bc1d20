"""Every file that can't be enriched says why, keeps what is known, and never raises."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from media_enricher.models import AssetStatus, ErrorCode, Kind
from media_enricher.probe import ProbeOptions
from tests.probe.samples import full, header, photograph, saved


@pytest.mark.parametrize("declared", [None, "image/jpeg", "text/plain"])
def test_no_bytes_are_empty(declared: str | None) -> None:
    for found in (full(b"", "a.jpg", declared), header(b"", "a.jpg", declared)[0]):
        assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.EMPTY)
        assert found.sha256 is None


@pytest.mark.parametrize(
    ("path", "declared"), [("a.jpg", None), ("a", "image/png"), ("a.jpg", "image/jpeg")]
)
@pytest.mark.parametrize(
    ("data", "kind", "content_type"),
    [
        (b"<!DOCTYPE html><html><body>Not found</body></html>", Kind.DOCUMENT, "text/html"),
        (b'{"statusCode":"404","error":"not_found"}', Kind.OTHER, "application/json"),
        (bytes(range(256)) * 4, Kind.OTHER, None),
    ],
)
def test_what_is_no_image_and_claims_to_be_one_is_mislabelled(
    path: str, declared: str | None, data: bytes, kind: Kind, content_type: str | None
) -> None:
    for found in (full(data, path, declared), header(data, path, declared)[0]):
        assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.MISLABELLED)
        assert (found.kind, found.content_type) == (kind, content_type)
        assert found.error_message
        assert (content_type or "no image") in found.error_message


def test_an_image_of_another_type_than_declared_is_simply_enriched() -> None:
    found = full(saved(photograph(), "webp"), "photo.jpg", "image/jpeg")
    assert (found.status, found.content_type) == (AssetStatus.ENRICHED, "image/webp")


def test_an_honest_type_with_an_images_name_is_not_mislabelled() -> None:
    found = full(b"<html></html>", "gallery.png", "text/html")
    assert found.status is AssetStatus.UNSUPPORTED


@pytest.mark.parametrize(
    ("data", "path", "kind", "content_type"),
    [
        (b"plain words, and an \xc3\xa9", "a.txt", Kind.DOCUMENT, "text/plain"),
        (b"\xff\x0a\xfa\x7f" + bytes(50), "a.jxl", Kind.IMAGE, "image/jxl"),
        (
            b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(50),
            "a.cr2",
            Kind.IMAGE,
            "image/x-canon-cr2",
        ),
        (b"MM\x00*\x00\x00\x00\x08" + bytes(50), "a.NEF", Kind.IMAGE, "image/x-nikon-nef"),
    ],
)
def test_a_type_without_a_probe_is_unsupported_under_its_true_name(
    data: bytes, path: str, kind: Kind, content_type: str
) -> None:
    for found in (full(data, path), header(data, path)[0]):
        assert (found.status, found.error_code) == (
            AssetStatus.UNSUPPORTED,
            ErrorCode.UNSUPPORTED_TYPE,
        )
        assert (found.kind, found.content_type) == (kind, content_type)
    assert full(data, path).sha256


FORMATS: dict[str, dict[str, Any]] = {
    "jpeg": {},
    "progressive": {"progressive": True},
    "png": {"compress_level": 1},
    "webp": {"method": 0},
    "lossless webp": {"lossless": True, "method": 0},
    "gif": {},
    "tiff": {},
    "packed tiff": {"compression": "tiff_lzw"},
    "avif": {"speed": 10},
    "bmp": {},
}
NAMES = {"progressive": "jpeg", "lossless webp": "webp", "packed tiff": "tiff"}


@pytest.mark.parametrize("size", [(300, 200), (1700, 1100)])
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_cut_is_truncated(name: str, size: tuple[int, int]) -> None:
    data = saved(photograph(*size), NAMES.get(name, name), **FORMATS[name])
    assert full(data).status is AssetStatus.ENRICHED
    for share in (0.5, 0.9, 0.999):
        found = full(data[: int(len(data) * share)])
        assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.TRUNCATED)
        assert found.sha256
        assert found.error_message
        if name != "packed tiff":  # its directory stands at its end
            assert (found.width, found.height) == size


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "gif", "avif", "tiff"])
def test_a_header_that_is_cut_is_truncated_in_header_depth_too(name: str) -> None:
    found, _ = header(saved(photograph(), name)[:14])
    assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.TRUNCATED)


def test_changed_bytes_in_a_png_are_noticed() -> None:
    data = bytearray(saved(photograph(), "png"))
    data[len(data) // 2] ^= 0x10
    found = full(bytes(data))
    assert found.error_code is ErrorCode.CORRUPT
    assert found.error_message
    assert "checksum" in found.error_message


def _png(width: int, height: int) -> bytes:
    """A PNG of any size in a few bytes, for the pixels are cut short."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + start
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_not_decoded_and_keeps_its_header() -> None:
    found = full(_png(60_000, 60_000))
    assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.TOO_MANY_PIXELS)
    assert (found.width, found.height, found.color_mode) == (60_000, 60_000, "RGB")
    assert found.error_message
    assert "60,000 x 60,000" in found.error_message
    assert "100,000,000" in found.error_message


def test_the_limit_counts_the_pixels_that_are_decoded() -> None:
    options = ProbeOptions(max_pixels=400_000)
    large = photograph(1600, 1200)
    assert full(saved(large, "png"), options=options).error_code is ErrorCode.TOO_MANY_PIXELS
    assert full(saved(large, "jpeg"), options=options).status is AssetStatus.ENRICHED
    # A progressive JPEG holds all its coefficients in memory, however small it is drawn.
    progressive = saved(large, "jpeg", progressive=True)
    assert full(progressive, options=options).error_code is ErrorCode.TOO_MANY_PIXELS


def test_a_bomb_within_an_icon_is_found() -> None:
    bomb = _png(60_000, 60_000)
    icon = b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(bomb), 22) + bomb
    found = full(icon)
    assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.TOO_MANY_PIXELS)


def test_a_png_with_more_text_than_pillow_takes_is_still_enriched() -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("workflow", "x" * 3_000_000, zip=True)
    assert full(saved(photograph(), "png", pnginfo=texts)).status is AssetStatus.ENRICHED


def test_an_error_message_is_one_clean_sentence() -> None:
    for data in (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHD\xff" + bytes(30),
        saved(photograph(), "jpeg")[:800],
    ):
        message = full(data).error_message
        assert message
        assert message.isprintable()
        assert message.endswith(".")
        assert "Traceback" not in message


def test_twelve_bit_jpegs_are_unsupported_rather_than_corrupt() -> None:
    data = bytearray(saved(Image.new("RGB", (64, 64)), "jpeg"))
    data[data.index(b"\xff\xc0") + 4] = 12
    found = full(bytes(data))
    assert (found.status, found.error_code) == (AssetStatus.UNSUPPORTED, ErrorCode.UNSUPPORTED_TYPE)
    assert (found.width, found.bit_depth) == (64, 12)
