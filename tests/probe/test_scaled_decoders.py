"""WebP and AVIF at a small size, against what Pillow makes of the whole picture."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from media_enricher.models import AssetStatus, Findings
from media_enricher.probe.image import _read, avif_decoder, dav1d, libwebp, webp_decoder
from media_enricher.probe.image.pixels import decode
from media_enricher.probe.source import Window
from tests.probe.samples import MIME, OPTIONS, full, photograph, saved
from tests.trust.damage import zeroed

pytestmark = pytest.mark.unit

SIZE = (1203, 805)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lossy WebP": ("webp", {"quality": 80, "method": 2}),
    "lossless WebP": ("webp", {"lossless": True, "method": 0}),
    "AVIF 4:2:0": ("avif", {"subsampling": "4:2:0", "speed": 10}),
    "AVIF 4:2:2": ("avif", {"subsampling": "4:2:2", "speed": 10}),
    "AVIF 4:4:4": ("avif", {"subsampling": "4:4:4", "speed": 10}),
    "AVIF, video range": ("avif", {"range": "limited", "speed": 10}),
}
FROM_PIXELS = {"blurhash", "thumbhash", "palette", "dominant_color", "phash"}


@pytest.fixture
def pillow_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the libraries behind Pillow do not show their functions."""
    monkeypatch.setattr(libwebp, "_library", None)
    monkeypatch.setattr(dav1d, "_library", None)


def small(data: bytes, image_format: str) -> np.ndarray[Any, np.dtype[np.int16]]:
    _, header = _read(Window(data), MIME[image_format], OPTIONS)
    picture = decode(data, header, orientation=None, max_pixels=OPTIONS.max_pixels)
    return np.asarray(picture.image).astype(np.int16)


def without_pixels(found: Findings) -> dict[str, Any]:
    fields = msgspec.structs.asdict(found).items()
    return {name: value for name, value in fields if name not in FROM_PIXELS}


def test_the_wheel_of_pillow_shows_both_libraries() -> None:
    assert libwebp.is_available()
    assert dav1d.is_available()


@pytest.mark.parametrize("kind", KINDS)
def test_a_scaled_picture_is_as_the_whole_one_that_is_shrunk(
    kind: str, request: pytest.FixtureRequest
) -> None:
    image_format, how = KINDS[kind]
    data = saved(photograph(*SIZE), image_format, **how)
    _, header = _read(Window(data), MIME[image_format], OPTIONS)
    if image_format == "webp":
        assert webp_decoder.decode(data, header, side=200) is not None
    else:
        assert avif_decoder.decode(data, header, small=(100, 67)) is not None
    scaled, found = small(data, image_format), full(data)
    request.getfixturevalue("pillow_alone")
    whole = small(data, image_format)
    difference = np.abs(scaled - whole) if scaled.shape == whole.shape else None
    assert difference is not None, (scaled.shape, whole.shape)
    assert difference.mean() < 1.5
    assert np.abs((scaled - whole).mean(axis=(0, 1))).max() < 1.0  # no colour is shifted
    assert without_pixels(found) == without_pixels(full(data))


@pytest.mark.parametrize("image_format", ["webp", "avif"])
def test_without_the_libraries_pillow_decodes(image_format: str, pillow_alone: None) -> None:
    found = full(saved(photograph(*SIZE), image_format))
    assert (found.status, found.width, found.height) == (AssetStatus.ENRICHED, *SIZE)
    assert found.blurhash


def test_alpha_and_animations_are_not_taken_for_plain_pictures() -> None:
    image = photograph(*SIZE).convert("RGBA")
    image.putpixel((700, 400), (0, 0, 0, 254))
    for image_format in ("webp", "avif"):
        assert full(saved(image, image_format, quality=100)).is_opaque is False
    frames = [photograph(500, 400, seed=seed) for seed in range(2)]
    for image_format in ("webp", "avif"):
        data = saved(frames[0], image_format, save_all=True, append_images=frames[1:])
        found = full(data)
        assert (found.status, found.is_animated) == (AssetStatus.ENRICHED, True)
        assert found.blurhash


def test_damage_of_a_large_webp_is_told() -> None:
    data = saved(photograph(2000, 1400), "webp", quality=80, method=0)
    assert full(data).warnings is None
    hurt = [full(zeroed(data, random.Random(seed))) for seed in range(4)]
    told = [found.status is AssetStatus.FAILED or bool(found.warnings) for found in hurt]
    assert sum(told) >= 3


def test_a_grey_avif_is_left_to_pillow() -> None:
    data = saved(Image.linear_gradient("L").resize((600, 600)), "avif", subsampling="4:0:0")
    found = full(data)
    assert found.status is AssetStatus.ENRICHED
    assert "greyscale" in (found.labels or ())
