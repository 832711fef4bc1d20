"""Colours against Little CMS: pictures with profiles of every kind, and without."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from media_enricher.models import AssetStatus
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.image.srgb import to_srgb
from tests.probe.samples import full, photograph, saved

Floats = npt.NDArray[np.float64]

ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
PROPHOTO = ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249))


def number(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def profile(space: bytes, tags: dict[bytes, bytes], *, pcs: bytes = b"XYZ ") -> bytes:
    """An ICC profile, version 2 (ICC.1:2001-04)."""
    white = b"XYZ " + bytes(4) + number(0.9642) + number(1.0) + number(0.8249)
    tags = {b"wtpt": white, **tags}
    table, content = b"", b""
    for name, tag in tags.items():
        at = 132 + 12 * len(tags) + len(content)
        table += name + struct.pack(">II", at, len(tag))
        content += tag + bytes(-len(tag) % 4)
    head = bytearray(128)
    head[0:4] = struct.pack(">I", 132 + len(table) + len(content))
    head[8:12] = b"\x02\x10\0\0"
    head[12:24] = b"mntr" + space + pcs
    head[36:40] = b"acsp"
    head[68:80] = number(0.9642) + number(1.0) + number(0.8249)
    return bytes(head) + struct.pack(">I", len(tags)) + table + content


def matrix_profile(primaries: tuple[tuple[float, ...], ...], gamma: float) -> bytes:
    tags = {
        name: b"XYZ " + bytes(4) + b"".join(map(number, xyz))
        for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    }
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma))
    return profile(b"RGB ", tags | curves)


def ink_profile() -> bytes:
    """CMYK whose inks are duller than light is: a table of 2 points each way (`mft1`)."""
    points = []
    for index in range(16):
        cyan, magenta, yellow, black = (index >> 3 & 1, index >> 2 & 1, index >> 1 & 1, index & 1)
        light = 220 - 60 * cyan - 70 * magenta - 20 * yellow - 130 * black
        points += [max(light, 10), 128 + 60 * magenta - 50 * cyan, 128 + 70 * yellow - 40 * cyan]
    ramp = bytes(range(256))
    identity = b"".join(number(float(at in (0, 4, 8))) for at in range(9))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity
    return profile(b"CMYK", {b"A2B0": table + ramp * 4 + bytes(points) + ramp * 3}, pcs=b"Lab ")


GREY = profile(b"GRAY", {b"kTRC": curve(1.0)})


def dominant(found: Any) -> tuple[int, ...]:
    assert found.status is AssetStatus.ENRICHED, found.error_message
    assert found.dominant_color is not None
    return tuple(bytes.fromhex(found.dominant_color[1:]))


def pixel(image: Image.Image) -> tuple[int, ...]:
    """One of a picture of one colour, in RGB."""
    return tuple(np.asarray(image.convert("RGB"))[0, 0].tolist())


def converted(image: Image.Image, source: bytes) -> Image.Image:
    """The reference: the whole picture by Little CMS."""
    own = ImageCms.ImageCmsProfile(io.BytesIO(source))
    result = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert result is not None
    return result


@pytest.mark.parametrize("image_format", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize(
    ("primaries", "gamma"), [(ADOBE_RGB, 2.2), (DISPLAY_P3, 2.2), (PROPHOTO, 1.8)]
)
def test_colours_are_those_of_the_profile(
    primaries: tuple[tuple[float, ...], ...], gamma: float, image_format: str
) -> None:
    icc = matrix_profile(primaries, gamma)
    plain = Image.new("RGB", (64, 48), (179, 90, 60))
    how: dict[str, Any] = {"lossless": True} if image_format == "webp" else {}
    found = full(saved(plain, image_format, icc_profile=icc, **how))
    expected = pixel(converted(plain, icc))
    assert np.abs(np.subtract(expected, (179, 90, 60))).max() > 12, "the profile does something"
    assert np.abs(np.subtract(dominant(found), expected)).max() <= 8


@pytest.mark.parametrize("image_format", ["jpeg", "tiff"])
@pytest.mark.parametrize(
    ("mode", "colour", "icc"),
    [
        ("L", 90, GREY),
        ("L", 90, matrix_profile(PROPHOTO, 1.0)),
        ("CMYK", (40, 200, 180, 20), ink_profile()),
        ("CMYK", (255, 40, 0, 0), ink_profile()),
    ],
)
def test_greys_and_inks_too(mode: str, colour: Any, icc: bytes, image_format: str) -> None:
    plain = Image.new(mode, (64, 48), colour)
    found = full(saved(plain, image_format, icc_profile=icc))
    reference = plain.convert("RGB") if icc[16:20] == b"RGB " else plain
    expected = pixel(converted(reference, icc))
    naive = pixel(plain)
    assert np.abs(np.subtract(expected, naive)).max() > 12, "the profile does something"
    assert np.abs(np.subtract(dominant(found), expected)).max() <= 8


def test_a_picture_keeps_its_transparency() -> None:
    icc = matrix_profile(PROPHOTO, 1.8)
    clear = Image.new("RGBA", (64, 48), (179, 90, 60, 200))
    clear.paste((0, 0, 0, 0), (0, 0, 10, 48))
    found = full(saved(clear, "png", icc_profile=icc))
    expected = pixel(converted(Image.new("RGB", (1, 1), (179, 90, 60)), icc))
    assert found.is_opaque is False
    assert np.abs(np.subtract(dominant(found), expected)).max() <= 8


def test_a_whole_photograph_is_as_little_cms_shows_it() -> None:
    icc = matrix_profile(ADOBE_RGB, 2.2)
    small = photograph(100, 75)
    expected = np.asarray(converted(small, icc)).astype(int)
    shown = np.asarray(to_srgb(small, ImageHeader(format="jpeg", icc=icc)))
    assert np.abs(shown - expected).max() <= 1


@pytest.mark.parametrize(
    "icc",
    [
        b"no profile",
        matrix_profile(PROPHOTO, 1.8)[:140],
        matrix_profile(PROPHOTO, 1.8)[:-40],
        matrix_profile(PROPHOTO, 1.8)[:128] + b"\xff" * 400,
        GREY,
        ink_profile(),
        matrix_profile(PROPHOTO, 1.8) + bytes(5_000_000),
        b"\0" * 12 + b"link" + matrix_profile(PROPHOTO, 1.8)[16:],
    ],
    ids=["text", "cut", "cut late", "broken", "grey", "inks", "huge", "link"],
)
def test_a_profile_that_cannot_be_used_changes_nothing(icc: bytes) -> None:
    picture = Image.new("RGB", (64, 48), (179, 90, 60))
    shown = to_srgb(picture, ImageHeader(format="jpeg", icc=icc))
    assert shown.getpixel((5, 5)) == (179, 90, 60)


def steps_profile(count: int, *, more_bytes: int = 0) -> bytes:
    """RGB by so many matrices (`mpet`, ICC.1:2022, 10.16), which share their bytes."""
    matrix = [0.9, 0.1, 0.0, 0.1, 0.8, 0.1, 0.0, 0.1, 0.9]
    element = b"matf" + bytes(4) + struct.pack(">HH12f", 3, 3, *matrix, 0.0, 0.0, 0.0)
    position = struct.pack(">II", 16 + 8 * count, len(element))
    steps = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, count) + position * count + element
    with_steps = bytearray(profile(b"RGB ", {b"D2B0": steps + bytes(more_bytes)}))
    with_steps[8] = 4
    return bytes(with_steps)


@pytest.mark.parametrize(
    ("icc", "is_used"),
    [
        (steps_profile(4), True),
        (steps_profile(1_000), False),
        (steps_profile(4, more_bytes=100_000), False),
    ],
)
def test_a_profile_of_endless_steps_is_not_run(icc: bytes, is_used: bool) -> None:
    """Each step would be worked through for each pixel."""
    picture = Image.new("RGB", (64, 48), (179, 90, 60))
    shown = to_srgb(picture, ImageHeader(format="png", icc=icc))
    assert (pixel(shown) != (179, 90, 60)) is is_used


def png_with(*chunks: tuple[bytes, bytes], colour: tuple[int, ...] = (120, 200, 60)) -> bytes:
    plain = saved(Image.new("RGB", (64, 48), colour), "png")
    added = b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    return plain[:33] + added + plain[33:]


P3_CODED = bytes((12, 13, 0, 1))
SRGB_CODED = bytes((1, 13, 0, 1))
LINEAR = struct.pack(">I", 100_000)
P3_CHROMATICITIES = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
ICC = b"p\0\0" + zlib.compress(matrix_profile(PROPHOTO, 1.8))
USUAL = struct.pack(">I", 45455)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([(b"cICP", P3_CODED)], (89, 203, 2)),
        ([(b"gAMA", USUAL), (b"cHRM", P3_CHROMATICITIES)], (89, 203, 2)),
        ([(b"gAMA", LINEAR)], (181, 228, 133)),
        ([(b"gAMA", USUAL)], (120, 200, 60)),
        ([(b"sRGB", b"\0"), (b"gAMA", LINEAR)], (120, 200, 60)),
        ([(b"cICP", SRGB_CODED), (b"iCCP", ICC)], (120, 200, 60)),
        ([(b"cHRM", P3_CHROMATICITIES)], (120, 200, 60)),
        ([(b"gAMA", LINEAR), (b"cHRM", bytes(32))], (120, 200, 60)),
        ([(b"gAMA", bytes(4))], (120, 200, 60)),
        ([(b"gAMA", b"\xff" * 200)], (120, 200, 60)),
        ([(b"cICP", bytes((255, 255, 0, 1)))], (120, 200, 60)),
    ],
)
def test_png_says_what_its_colours_mean(
    chunks: list[tuple[bytes, bytes]], expected: tuple[int, ...]
) -> None:
    """The right values are by CSS Color 4's matrices for Display P3, and by sRGB's curve."""
    assert np.abs(np.subtract(dominant(full(png_with(*chunks))), expected)).max() <= 4


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58), (18, 0.75)])
def test_the_white_of_hdr_is_white(transfer: int, white: float) -> None:
    level = round(white * 255)
    found = full(png_with((b"cICP", bytes((9, transfer, 0, 1))), colour=(level, level, level)))
    assert np.abs(np.subtract(dominant(found), 255)).max() <= 8


def test_lab_is_drawn_in_colour() -> None:
    red = Image.new("RGB", (64, 48), (220, 30, 60))
    lab = ImageCms.profileToProfile(
        red, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    assert np.abs(np.subtract(dominant(full(saved(lab, "tiff"))), (220, 30, 60))).max() <= 4


def grey_tiff(order: str, bits: int, photometric: int, values: Floats) -> bytes:
    height, width = values.shape
    if bits == 12:
        flat = values.astype(np.uint16).ravel()
        packed = b"".join(
            bytes((int(a) >> 4, (int(a) & 15) << 4 | int(b) >> 8, int(b) & 255))
            for a, b in zip(flat[::2], flat[1::2], strict=True)
        )
    else:
        packed = values.astype(f"{order}u{bits // 8}").tobytes()
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(packed)),
    ]
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1)
        + (struct.pack(f"{order}I", value) if kind == 4 else struct.pack(f"{order}HH", value, 0))
        for tag, kind, value in tags
    )
    mark = b"II" if order == "<" else b"MM"
    start = mark + struct.pack(f"{order}HI", 42, 8 + len(packed))
    return start + packed + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    ("order", "bits", "photometric", "value", "grey"),
    [
        ("<", 16, 1, 0x4000, 64),
        (">", 16, 1, 0x4000, 64),
        ("<", 16, 0, 0x4000, 191),
        (">", 16, 0, 0x4000, 191),
        ("<", 8, 0, 0x40, 191),
        (">", 8, 1, 0x40, 64),
        ("<", 12, 1, 0x400, 64),
    ],
)
def test_deep_greys_of_both_orders_and_with_white_as_nought(
    order: str, bits: int, photometric: int, value: int, grey: int
) -> None:
    values = np.full((48, 64), value, dtype=np.float64)
    found = full(grey_tiff(order, bits, photometric, values))
    assert np.abs(np.subtract(dominant(found), grey)).max() <= 2
