"""Colours of every kind of picture, and decoding no more than is needed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from media_enricher.models import AssetStatus
from media_enricher.probe.image import jpeg_scans
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.image.pixels import SIDE, decode
from tests.probe.samples import full, photograph, saved


def rgb(colour: str | None) -> tuple[int, ...]:
    assert colour is not None
    assert len(colour) == 7
    assert colour[0] == "#"
    return tuple(bytes.fromhex(colour[1:]))


@pytest.mark.parametrize(
    ("image", "image_format", "colour"),
    [
        (Image.new("RGB", (40, 30), (200, 10, 60)), "png", (200, 10, 60)),
        (Image.new("L", (40, 30), 90), "png", (90, 90, 90)),
        (Image.new("1", (40, 30), 1), "png", (255, 255, 255)),
        (Image.new("I;16", (40, 30), 0x8000), "png", (128, 128, 128)),
        (Image.new("I;16", (40, 30), 0x4000), "tiff", (64, 64, 64)),
        (Image.new("LA", (40, 30), (90, 255)), "png", (90, 90, 90)),
        (Image.new("RGBA", (40, 30), (200, 10, 60, 200)), "png", (200, 10, 60)),
        (Image.new("RGB", (40, 30), (0, 128, 255)).quantize(4), "png", (0, 128, 255)),
        (Image.new("CMYK", (40, 30), (0, 255, 255, 0)), "jpeg", (255, 0, 0)),
        (Image.new("CMYK", (40, 30), (255, 0, 0, 0)), "tiff", (0, 255, 255)),
        (Image.new("YCbCr", (40, 30), (76, 85, 255)), "jpeg", (254, 0, 0)),
    ],
)
def test_the_dominant_colour_of_every_mode(
    image: Image.Image, image_format: str, colour: tuple[int, ...]
) -> None:
    found = full(saved(image, image_format))
    assert np.abs(np.subtract(rgb(found.dominant_color), colour)).max() <= 3


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_without_an_agreed_white_are_spread(mode: str) -> None:
    ramp = np.tile(np.linspace(-1000, 1000, 64), (48, 1))
    pixels = ramp.astype(np.float32 if mode == "F" else np.int32)
    found = full(saved(Image.fromarray(pixels), "tiff"))
    assert found.status is AssetStatus.ENRICHED
    assert found.palette is not None
    levels = [rgb(colour)[0] for colour in found.palette]
    assert max(levels) - min(levels) > 100


def test_floats_that_are_no_numbers_break_nothing() -> None:
    pixels = np.full((20, 20), np.nan, dtype=np.float32)
    pixels[0, 0] = np.inf
    pixels[1, 1] = 7
    assert full(saved(Image.fromarray(pixels), "tiff")).status is AssetStatus.ENRICHED


def test_the_palette_is_ordered_by_area() -> None:
    image = Image.new("RGB", (100, 100), "#0000ff")
    image.paste("#ff0000", (0, 0, 100, 30))
    image.paste("#00ff00", (0, 0, 100, 10))
    found = full(saved(image, "png"))
    assert found.palette == ["#0000ff", "#ff0000", "#00ff00"]
    assert found.dominant_color == "#0000ff"


def test_what_is_transparent_does_not_colour() -> None:
    image = Image.new("RGBA", (100, 100), (255, 0, 255, 0))
    image.paste((0, 120, 0, 255), (40, 40, 60, 60))
    found = full(saved(image, "png"))
    assert found.is_opaque is False
    assert found.palette == ["#007800"]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("size", [(1, 1), (300, 200)])
def test_a_picture_of_nothing_breaks_nothing(mode: str, size: tuple[int, int]) -> None:
    data = saved(Image.new(mode, size), "png", **({"transparency": 0} if mode == "P" else {}))
    found = full(data)
    assert found.status is AssetStatus.ENRICHED
    assert (found.has_alpha, found.is_opaque) == (True, False)
    assert (found.palette, found.dominant_color) == (None, None)
    assert found.blurhash
    assert found.thumbhash
    assert found.phash


def test_one_transparent_pixel_of_a_million_is_enough() -> None:
    image = photograph(1000, 1000).convert("RGBA")
    assert full(saved(image, "png", compress_level=1)).is_opaque is True
    image.putpixel((999, 999), (0, 0, 0, 254))
    assert full(saved(image, "png", compress_level=1)).is_opaque is False


def test_a_transparent_colour_counts_as_alpha() -> None:
    image = Image.new("RGB", (20, 20), (1, 2, 3))
    found = full(saved(image, "png", transparency=(1, 2, 3)))
    assert (found.has_alpha, found.is_opaque, found.color_mode) == (True, False, "RGB")
    found = full(saved(image, "png", transparency=(9, 9, 9)))
    assert (found.has_alpha, found.is_opaque) == (True, True)


@pytest.mark.parametrize("size", [(1, 1), (1, 3_000), (3_000, 1), (100, 100), (101, 99)])
@pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
def test_shapes_of_all_sorts(name: str, size: tuple[int, int]) -> None:
    found = full(saved(Image.new("RGB", size, "teal"), name))
    assert found.status is AssetStatus.ENRICHED
    assert (found.width, found.height) == size


def test_a_large_jpeg_is_decoded_at_an_eighth(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []
    real = simplejpeg.decode_jpeg

    def note(data: bytes, **how: Any) -> Any:
        pixels = real(data, **how)
        sizes.append(pixels.shape)
        return pixels

    data = saved(photograph(2400, 1600), "jpeg")
    monkeypatch.setattr(simplejpeg, "decode_jpeg", note)
    assert full(data).status is AssetStatus.ENRICHED
    assert sizes == [(200, 300, 3)]


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_first_scan_of_a_progressive_jpeg_is_as_good_as_all(
    mode: str, subsampling: int
) -> None:
    picture = photograph(1600, 1000).convert(mode)
    data = saved(picture, "jpeg", progressive=True, quality=88, subsampling=subsampling)
    coarse = jpeg_scans.coarse(data, jpeg_scans.read_scans(data))
    assert coarse is not None
    assert len(coarse) < len(data) / 2
    header = ImageHeader(format="jpeg", width=1600, height=1000, is_progressive=True)
    quick = decode(data, header, orientation=None, max_pixels=10**8).image
    whole = Image.open(io.BytesIO(data)).convert("RGB").resize(quick.size, Image.Resampling.BOX)
    assert max(quick.size) == SIDE
    error = np.abs(np.asarray(quick).astype(int) - np.asarray(whole))
    assert error.mean() < 2.0, "of 255"


def test_means_are_not_smoothed() -> None:
    """libjpeg-turbo would guess what the waves are, in three times the time, and move the means."""
    data = saved(photograph(1600, 1000).convert("L"), "jpeg", progressive=True, quality=88)
    scans = jpeg_scans.read_scans(data)
    coarse, smoothed = jpeg_scans.coarse(data, scans), data[: scans.coarse_end] + b"\xff\xd9"
    assert coarse is not None
    errors = [np.abs(at_an_eighth(jpeg) - at_an_eighth(data)).max() for jpeg in (coarse, smoothed)]
    assert errors[0] <= 1, "the last bit of a mean, at this quality half of a step"
    assert errors[1] > 1


def at_an_eighth(jpeg: bytes) -> Any:
    pixels = simplejpeg.decode_jpeg(jpeg, "RGB", min_width=200, min_height=125, min_factor=1)
    assert pixels.shape == (125, 200, 3)
    return pixels.astype(int)


def test_tables_are_left_alone_where_waves_come_before_the_last_means() -> None:
    table = b"\xff\xdb\x00\x43\x00" + bytes(range(1, 65))
    start = b"\xff\xd8" + table + b"\xff\xc2\x00\x0b\x08\x04\x00\x04\x00\x01" + bytes(3)
    means = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x01" + b"means"
    waves = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00" + b"waves"
    both = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"both"
    flat = start.replace(table, b"\xff\xdb\x00\x43\x00\x01" + bytes(63))
    end = b"\xff\xd9"
    for scan, kept in ((means, flat + means), (waves + means, start + waves + means), (both, None)):
        file = start + scan + waves + end
        coarse = jpeg_scans.coarse(file, jpeg_scans.read_scans(file))
        assert coarse == (kept or start + both) + end


@pytest.mark.parametrize("length", [2, 3, 66, 67, 68, 133, 518, 60_000])
@pytest.mark.parametrize("precision", [0, 1])
def test_tables_that_are_cut_or_too_many_do_no_harm(length: int, precision: int) -> None:
    data = saved(photograph(160, 100), "jpeg", progressive=True)
    content = bytes((precision << 4,)) + b"\1" * (length - 3) if length > 2 else b""
    hurt = data[:2] + b"\xff\xdb" + length.to_bytes(2, "big") + content + data[2:]
    coarse, whole = (
        jpeg_scans.coarse(each, jpeg_scans.read_scans(each)) or b"" for each in (hurt, data)
    )
    assert (len(coarse), coarse[-len(whole) + 2 :]) == (len(whole) + length + 2, whole[2:])


def test_the_means_of_all_components_are_waited_for() -> None:
    """mozjpeg may write the means of each component in a scan of its own."""
    start = b"\xff\xd8\xff\xc2\x00\x11\x08\x04\x00\x04\x00\x03" + bytes(9)

    def scan(component: int, last: int) -> bytes:
        return (
            b"\xff\xda\x00\x08\x01"
            + bytes((component, 0, 0, last, 1))
            + b"data\xff\x00\xff\xd0more"
        )

    means = [scan(component, 0) for component in (1, 2, 3)]
    details = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00" + b"data"
    file = start + means[0] + details + means[1] + means[2] + details + b"\xff\xd9"
    assert (
        jpeg_scans.coarse(file, jpeg_scans.read_scans(file))
        == start + means[0] + details + means[1] + means[2] + b"\xff\xd9"
    )


def test_a_progressive_jpeg_with_something_behind_its_end_is_whole() -> None:
    data = saved(photograph(1600, 1000), "jpeg", progressive=True)
    assert full(data + b"\xff\xd8 a trailer of some phone \xff").status is AssetStatus.ENRICHED
