"""What a user sees of an ordinary file of each format, in both depths."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from media_enricher.models import AssetStatus, ErrorCode, Findings, Kind
from tests.probe.samples import MIME, full, header, photograph, saved

PIXEL_FIELDS = ("dominant_color", "palette", "blurhash", "thumbhash", "phash", "sha256")


@pytest.mark.parametrize("name", [name for name in MIME if name != "ico"])
def test_every_format_is_enriched_with_its_size_type_and_colours(name: str) -> None:
    data = saved(photograph(480, 320), name)
    found = full(data, path=f"photo.{name}")
    assert found.status is AssetStatus.ENRICHED, found.error_message
    assert (found.kind, found.content_type, found.format) == (Kind.IMAGE, MIME[name], name)
    assert (found.width, found.height) == (480, 320)
    assert (found.frame_count, found.is_animated, found.is_opaque) == (1, False, True)
    for field in PIXEL_FIELDS:
        assert getattr(found, field), field


@pytest.mark.parametrize("name", [name for name in MIME if name != "ico"])
def test_header_depth_finds_the_same_less_what_needs_the_pixels(name: str) -> None:
    data = saved(photograph(480, 320), name)
    shallow, _ = header(data, path=f"photo.{name}")
    deep = full(data, path=f"photo.{name}")
    for field in Findings.__struct_fields__:
        if field in PIXEL_FIELDS:
            assert getattr(shallow, field) is None, field
        elif getattr(shallow, field) is not None:
            assert getattr(shallow, field) == getattr(deep, field), field
    assert (shallow.width, shallow.height) == (480, 320)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "gif", "bmp"])
def test_header_depth_never_decodes_pixels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pixels were decoded")

    data = saved(photograph(), name)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    monkeypatch.setattr("PIL.Image.core.new", refuse)
    found, _ = header(data)
    assert found.status is AssetStatus.ENRICHED


@pytest.mark.parametrize(
    ("image", "image_format", "mode", "bits", "has_alpha"),
    [
        (Image.new("RGB", (9, 9)), "png", "RGB", 8, False),
        (Image.new("RGBA", (9, 9)), "png", "RGBA", 8, True),
        (Image.new("LA", (9, 9)), "png", "LA", 8, True),
        (Image.new("L", (9, 9)), "png", "L", 8, False),
        (Image.new("1", (9, 9)), "png", "1", 1, False),
        (Image.new("I;16", (9, 9)), "png", "I;16", 16, False),
        (Image.new("P", (9, 9)), "png", "P", 8, False),
        (Image.new("CMYK", (9, 9)), "jpeg", "CMYK", 8, False),
        (Image.new("L", (9, 9)), "jpeg", "L", 8, False),
        (Image.new("RGBA", (9, 9), (1, 2, 3, 4)), "webp", "RGBA", 8, True),
        (Image.new("RGBA", (9, 9), (1, 2, 3, 4)), "avif", "RGBA", 8, True),
        (Image.new("I;16", (9, 9)), "tiff", "I;16", 16, False),
        (Image.new("F", (9, 9)), "tiff", "F", 32, False),
    ],
)
def test_mode_bits_and_alpha(
    image: Image.Image, image_format: str, mode: str, bits: int, has_alpha: bool
) -> None:
    data = saved(image, image_format)
    for found in (full(data), header(data)[0]):
        assert found.status is AssetStatus.ENRICHED, found.error_message
        assert (found.color_mode, found.bit_depth, found.has_alpha) == (mode, bits, has_alpha)


@pytest.mark.parametrize("name", ["png", "webp", "gif", "avif"])
def test_an_animation_is_counted_and_only_its_first_frame_shown(name: str) -> None:
    frames = [Image.new("RGB", (64, 48), color) for color in ("red", "lime", "blue")]
    data = saved(frames[0], name, save_all=True, append_images=frames[1:], duration=50)
    found = full(data)
    assert (found.frame_count, found.is_animated) == (3, True)
    assert found.dominant_color is not None
    red, green, blue = bytes.fromhex(found.dominant_color[1:])
    assert red > 230
    assert max(green, blue) < 25


def test_frames_of_a_large_gif_are_counted_without_decoding_them() -> None:
    random = np.random.default_rng(1)
    frames = [
        Image.fromarray(random.integers(0, 255, (40, 40), dtype=np.uint8)) for _ in range(200)
    ]
    data = saved(frames[0], "gif", save_all=True, append_images=frames[1:], optimize=False)
    assert full(data).frame_count == 200
    start, _ = header(data)
    assert (start.frame_count, start.is_animated) == (None, True), "of a start, the count is open"


def test_a_phones_jpeg_of_several_pictures_is_a_jpeg() -> None:
    data = saved(photograph(), "mpo", save_all=True, append_images=[photograph(seed=8)])
    found = full(data, path="IMG_1.jpg", declared="image/jpeg")
    assert (found.content_type, found.format, found.frame_count) == ("image/jpeg", "jpeg", 1)
    assert found.status is AssetStatus.ENRICHED


def test_pages_are_counted_but_are_no_animation() -> None:
    data = saved(
        Image.new("L", (8, 8)), "tiff", save_all=True, append_images=[Image.new("L", (9, 9))]
    )
    found = full(data)
    assert (found.frame_count, found.is_animated) == (2, False)


def test_an_icon_is_its_largest_picture() -> None:
    data = saved(photograph(128, 128), "ico", sizes=[(16, 16), (32, 32), (128, 128)])
    for found in (full(data), header(data)[0]):
        assert (found.width, found.height, found.content_type) == (128, 128, "image/x-icon")


@pytest.mark.parametrize(
    ("svg", "size"),
    [
        ('<svg xmlns="http://www.w3.org/2000/svg" width="120" height="80px"/>', (120, 80)),
        ('<svg viewBox="0 0 300 150"></svg>', (300, 150)),
        ('<svg width="100%" height="100%" viewBox="0,0,24,12"></svg>', (24, 12)),
        ('<svg width="48" viewBox="0 0 24 12"></svg>', (48, 24)),
        ("<svg width='1in' height='25.4mm'></svg>", (96, 96)),
        ("<svg></svg>", (None, None)),
        ('<svg width="-3" height="1e99"></svg>', (None, None)),
        (
            '\ufeff<?xml version="1.0"?><!-- > --><!DOCTYPE svg PUBLIC "a" "b" [<!ENTITY n "x">]>'
            '\n<svg:svg xmlns:svg="http://www.w3.org/2000/svg" width="7" height="9"></svg:svg>',
            (7, 9),
        ),
    ],
)
def test_an_svg_has_the_size_that_its_root_states(
    svg: str, size: tuple[int | None, int | None]
) -> None:
    for found in (full(svg.encode()), header(svg.encode())[0]):
        assert (found.content_type, found.kind) == ("image/svg+xml", Kind.IMAGE)
        assert found.status is AssetStatus.ENRICHED
        assert (found.width, found.height) == size


def test_an_svg_that_is_cut_is_truncated() -> None:
    found = full(b'<svg width="5" height="5"><path d="M0 0')
    assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.TRUNCATED)
    assert (found.width, found.height) == (5, 5)


def test_many_brackets_in_a_doctype_cost_nothing() -> None:
    found = full(b"<!DOCTYPE " + b"[a]>" * 900)
    assert found.content_type != "image/svg+xml"


@pytest.mark.parametrize("memory", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(memory: type[bytes]) -> None:
    for name in ("jpeg", "png", "gif", "webp", "avif", "tiff", "bmp"):
        data = saved(photograph(), name)
        assert full(memory(data)) == full(data)


def test_a_large_file_may_be_mapped(tmp_path: object) -> None:
    import mmap
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    data = saved(photograph(1600, 1000), "jpeg", progressive=True)
    (tmp_path / "a.jpg").write_bytes(data)
    with (tmp_path / "a.jpg").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        assert full(mapped) == full(data)  # type: ignore[arg-type]
        mapped.close()
