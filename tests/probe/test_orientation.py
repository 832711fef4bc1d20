"""A picture that is stored turned is described as it is shown."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageOps

from tests.probe.samples import full, header, photograph, saved

ORIENTATION = 0x0112


def turned(name: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(
        photograph(300, 200), name, exif=exif, **({"quality": 95} if name != "png" else {})
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff", "avif"])
def test_size_and_placeholders_are_of_the_upright_picture(name: str, orientation: int) -> None:
    data = turned(name, orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found, _ = header(data, path=f"a.{name}")
    assert (found.width, found.height) == upright.size
    assert found.orientation == orientation
    found = full(data)
    assert (found.width, found.height, found.orientation) == (*upright.size, orientation)
    expected = full(saved(upright.convert("RGB"), "png"))
    assert found.phash is not None
    assert expected.phash is not None
    differing = int(found.phash, 16) ^ int(expected.phash, 16)
    assert differing.bit_count() <= 6
    assert found.blurhash is not None
    assert expected.blurhash is not None
    assert found.blurhash[0] == expected.blurhash[0], "as many waves across and down"


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    found = full(turned("jpeg", orientation))
    assert (found.width, found.height, found.orientation) == (300, 200, None)


def test_a_webp_keeps_its_orientation_behind_the_pixels_and_header_depth_reads_on_for_it() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = saved(photograph(900, 600), "webp", quality=100, exif=exif)
    found, length = header(data, path="a.webp")
    assert (found.width, found.height, found.orientation) == (600, 900, 6)
    assert length > 16 * 1024
