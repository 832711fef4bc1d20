"""Header depth says nothing or the truth, and never what a poorer source says."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from media_enricher.models import AssetStatus, Findings
from media_enricher.probe import NeedRanges, probe_header
from media_enricher.probe.metadata.sources import fill_metadata
from media_enricher.probe.source import Window
from tests.probe import carriers
from tests.probe.carriers import datasets, language, packet, picture_tags, text, tiff
from tests.probe.samples import OPTIONS, full, header, saved

TURNED = tiff(base={0x0112: (3, b"\6\0"), 0x010F: text("Acme")})
FIELDS = (
    "width",
    "height",
    "orientation",
    "taken_at",
    "taken_at_offset",
    "camera_make",
    "title",
    "description",
    "tags",
    "has_location",
    "has_content_credentials",
)


def noise(width: int = 400, height: int = 300) -> Image.Image:
    pixels = np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def late_png(*, chunk_bytes: int, behind: bytes, tail: bytes = b"") -> bytes:
    """A large PNG whose pixels are in chunks of one size, with more chunks behind them."""
    plain = saved(noise(), "png")
    packed = b""
    at = 8
    while at < len(plain):
        length, name = struct.unpack_from(">I4s", plain, at)
        if name == b"IDAT":
            packed += plain[at + 8 : at + 8 + length]
        at += 12 + length
    parts = [packed[start : start + chunk_bytes] for start in range(0, len(packed), chunk_bytes)]
    pixels = b"".join(carriers.chunk(b"IDAT", part) for part in parts)
    return plain[:33] + pixels + behind + carriers.chunk(b"IEND", b"") + tail


@pytest.mark.parametrize("chunk_bytes", [500, 8_192, 32_768, 10_000_000])
def test_what_stands_behind_the_pixels_of_a_png_is_read(chunk_bytes: int) -> None:
    behind = carriers.chunk(b"eXIf", TURNED) + carriers.chunk(b"tEXt", b"Title\0Late")
    data = late_png(chunk_bytes=chunk_bytes, behind=behind)
    found, read = header(data, path="a.png")
    assert (found.width, found.height, found.orientation) == (300, 400, 6)
    assert (found.camera_make, found.title) == ("Acme", "Late")
    assert read < len(data) / 2


def test_a_png_whose_end_is_not_found_has_no_size_that_may_be_wrong() -> None:
    junk = np.random.default_rng(5).bytes(200_000)
    data = late_png(chunk_bytes=8_192, behind=carriers.chunk(b"eXIf", TURNED), tail=junk)
    found, read = header(data, path="a.png")
    assert (found.width, found.height, found.orientation) == (None, None, None)
    assert (found.title, found.has_location) == (None, None)
    assert read < len(data)


def test_names_of_chunks_within_pixels_lead_nowhere() -> None:
    """Every `IDAT` in the data is looked at, and each byte at most once."""
    false_chunk = struct.pack(">I4s", 0, b"IDAT") + b"\0\0\0\0"
    plain = saved(noise(), "png")
    pixels = carriers.chunk(b"IDAT", false_chunk * 60_000)
    data = plain[:33] + pixels + carriers.chunk(b"junk", b"x" * 900_000)
    found, _ = header(data, path="a.png")
    assert found.width is None


@pytest.mark.parametrize("name", ["EXIF", "XMP "])
def test_what_webp_announces_is_read_wherever_it_is(name: str) -> None:
    plain = saved(noise(), "webp", lossless=True)
    size = struct.pack("<I", 399)[:3] + struct.pack("<I", 299)[:3]
    block = TURNED if name == "EXIF" else packet(language("dc:title", "Late"))
    flag = 0x08 if name == "EXIF" else 0x04
    body = (
        b"WEBP"
        + struct.pack("<4sI", b"VP8X", 10)
        + bytes([flag, 0, 0, 0])
        + size
        + plain[12:]
        + struct.pack("<4sI", name.encode(), len(block))
        + block
        + bytes(len(block) % 2)
    )
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    found, read = header(data, path="a.webp")
    if name == "EXIF":
        assert (found.orientation, found.width) == (6, 300)
    else:
        assert found.title == "Late"
    assert read < len(data) / 2
    assert found.has_content_credentials is False


def test_a_better_date_that_lies_far_on_is_read() -> None:
    """A TIFF whose EXIF stands behind its pixels, with IPTC before them."""
    captioned = datasets((55, "20010101"), (5, "A title"))
    data = tiff(
        base=picture_tags() | {33723: (7, captioned)},
        camera={0x9003: text("2020:02:03 04:05:06")},
        pixels=carriers.picture().tobytes(),
    )
    pointer = data.index(struct.pack("<HHI", 0x8769, 4, 1)) + 8
    at = int.from_bytes(data[pointer : pointer + 4], "little")
    directory = bytearray(data[at : at + 18])
    far = bytearray(data) + bytes(9_000_000 - len(data))
    far[pointer : pointer + 4] = len(far).to_bytes(4, "little")
    moved = bytes(far) + bytes(directory)
    found, read = header(moved, path="a.tif")
    assert found.taken_at == datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert (found.title, found.width) == ("A title", carriers.WIDTH)
    assert read < 300_000


def test_a_date_that_may_not_be_read_hides_the_poorer_one() -> None:
    """The same where no more bytes may be asked for: the date stays unknown."""
    captioned = datasets((55, "20010101"), (5, "A title"))
    data = tiff(
        base=picture_tags() | {33723: (7, captioned)},
        camera={0x9003: text("2020:02:03 04:05:06")},
        pixels=carriers.picture().tobytes(),
    )
    pointer = data.index(struct.pack("<HHI", 0x8769, 4, 1)) + 8
    far = bytearray(data)
    far[pointer : pointer + 4] = (9_000_000).to_bytes(4, "little")
    findings = Findings(status=AssetStatus.ENRICHED)
    fill_metadata([Window(bytes(far), 9_000_100, limit=len(far))], findings, OPTIONS)
    assert findings.title == "A title"
    assert (findings.taken_at, findings.has_location) == (None, None)


def test_xmp_that_a_gif_may_hold_further_on_leaves_its_texts_open() -> None:
    frame = noise(300, 300).quantize(256)
    data = saved(frame, "gif")
    assert len(data) > 20_000
    found, _ = header(data, path="a.gif")
    assert (found.width, found.has_location, found.has_content_credentials) == (300, None, None)


TABLE: list[tuple[str, Any, bytes]] = [
    *((name, carry, TURNED) for name, carry in carriers.EXIF_CARRIERS.items()),
    *(
        (name, carry, packet(language("dc:title", "A title")))
        for name, carry in carriers.XMP_CARRIERS.items()
    ),
]


@pytest.mark.parametrize(("name", "carry", "block"), TABLE)
@pytest.mark.parametrize("first", [30, 600])
def test_a_small_window_says_nothing_or_what_the_whole_file_says(
    name: str, carry: carriers.Carrier, block: bytes, first: int
) -> None:
    data = carry(block)
    whole = full(data)
    some = probe_header(
        data[:first],
        size_bytes=len(data),
        path="a",
        declared_content_type=None,
        options=OPTIONS,
        limit=max(first, 600),
    )
    found = header(data, first=first)[0] if isinstance(some, NeedRanges) else some
    for field in FIELDS:
        assert getattr(found, field) in (None, getattr(whole, field)), (name, field)
