"""The perceptual hash finds copies and tells photographs apart."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from tests.probe.samples import full, photograph, saved

_PHOTOGRAPHS = 40
_MOST_OF_COPIES, _LEAST_OF_OTHERS = 6, 20
_LEAST_SHARE = 0.99


@lru_cache(maxsize=1)
def _pictures() -> tuple[Image.Image, ...]:
    """Scenes of shapes before a smooth background, none like another."""
    return tuple(_scene(seed) for seed in range(_PHOTOGRAPHS))


def _scene(seed: int) -> Image.Image:
    numbers = np.random.default_rng(seed)
    picture = photograph(480, 320, seed=seed)
    for _ in range(12):
        left, top = int(numbers.integers(0, 400)), int(numbers.integers(0, 260))
        size = tuple(numbers.integers(30, 160, 2).tolist())
        picture.paste(
            tuple(numbers.integers(0, 256, 3).tolist()), (left, top, left + size[0], top + size[1])
        )
    return picture


def _hash(data: bytes) -> int:
    found = full(data)
    assert found.phash is not None, found.error_message
    return int(found.phash, 16)


def _resized(picture: Image.Image) -> bytes:
    return saved(
        picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.BICUBIC), "jpeg"
    )


def _shrunk(picture: Image.Image) -> bytes:
    return saved(picture.resize((180, 120), Image.Resampling.LANCZOS), "png")


def _recompressed(picture: Image.Image) -> bytes:
    return saved(picture, "jpeg", quality=40)


def _again(picture: Image.Image) -> bytes:
    once = Image.open(io.BytesIO(saved(picture, "jpeg", quality=60, progressive=True)))
    return saved(once.convert("RGB"), "webp", quality=50)


@pytest.mark.parametrize("copy", [_resized, _shrunk, _recompressed, _again])
def test_copies_are_near(copy: Callable[[Image.Image], bytes]) -> None:
    for picture in _pictures()[:12]:
        apart = (_hash(saved(picture, "png")) ^ _hash(copy(picture))).bit_count()
        assert apart <= _MOST_OF_COPIES


def test_others_are_far() -> None:
    hashes = [_hash(saved(picture, "jpeg")) for picture in _pictures()]
    distances = [(one ^ other).bit_count() for one, other in combinations(hashes, 2)]
    far = sum(distance > _LEAST_OF_OTHERS for distance in distances)
    assert far >= _LEAST_SHARE * len(distances)
