"""Header depth reads little, and asks for more only where that tells size or orientation."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from media_enricher.models import AssetStatus
from media_enricher.probe import first_range
from tests.probe.samples import header, photograph, saved


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "avif", "bmp"])
def test_a_first_range_is_enough_for_ordinary_files(name: str) -> None:
    data = saved(photograph(1600, 1000), name)
    found, length = header(data, path=f"a.{name}")
    assert (found.width, found.height) == (1600, 1000)
    if name == "png":  # its orientation may stand behind the pixels: the end is read, too
        assert length < 100_000 < len(data)
    else:
        assert length == min(len(data), first_range(f"a.{name}", None))


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "avif", "bmp", "tiff", "ico"])
@pytest.mark.parametrize("first", [1, 13, 30, 200, 5_000])
def test_however_little_is_read_first_the_size_is_found(name: str, first: int) -> None:
    data = saved(photograph(256, 256), name)
    found, _ = header(data, path=f"a.{name}", first=first)
    assert found.status is AssetStatus.ENRICHED
    assert (found.width, found.height) == (256, 256)


def test_a_jpeg_with_a_megabyte_before_its_size_is_read_on() -> None:
    plain = saved(photograph(), "jpeg")
    segment = b"\xff\xe5\xff\xff" + bytes(65533)
    data = plain[:2] + segment * 16 + plain[2:]
    found, length = header(data, path="a.jpg")
    assert (found.width, found.height) == (480, 320)
    assert length > 1_000_000


def test_a_tiff_that_ends_with_its_directory_is_read_on() -> None:
    data = saved(photograph(800, 600), "tiff", compression="tiff_lzw")
    found, length = header(data, path="a.tif")
    assert (found.width, found.height) == (800, 600)
    assert length > first_range("a.tif", None)


def test_a_directory_far_behind_is_read_where_it_is() -> None:
    data = saved(Image.new("RGB", (2400, 2000), "red"), "tiff", compression=None)
    moved = bytearray(data + bytes(9_000_000))
    # The directory is copied to the end, 23 MB on.
    at = int.from_bytes(data[4:8], "little")
    moved += data[at : at + 1_000]
    moved[4:8] = (len(moved) - 1_000).to_bytes(4, "little")
    found, length = header(bytes(moved), path="a.tif")
    assert (found.width, found.height) == (2400, 2000)
    assert length < 200_000


def test_behind_the_bound_size_stays_unknown_rather_than_reading_for_ever() -> None:
    plain = saved(photograph(), "jpeg")
    segment = b"\xff\xe5\xff\xff" + bytes(65533)
    data = plain[:2] + segment * 160 + plain[2:]
    found, length = header(data, path="a.jpg")
    assert length < 9_000_000
    assert found.status is AssetStatus.ENRICHED
    assert (found.content_type, found.width) == ("image/jpeg", None)


def test_a_png_is_read_on_up_to_its_pixels() -> None:
    """A PNG whose transparency is announced after a large profile."""
    noise = np.random.default_rng(2).bytes(100_000)
    data = saved(Image.new("P", (40, 40)), "png", icc_profile=noise, transparency=0)
    start, _ = header(data, path="a.png")
    assert (start.has_alpha, start.is_animated) == (True, False)


def test_declared_type_and_name_choose_the_range() -> None:
    assert first_range("a.JPG", None) > first_range("a.png", None)
    assert first_range("x", "image/jpeg") == first_range("x.jpeg", "application/octet-stream")
    assert first_range("no-extension", None) >= 4096
