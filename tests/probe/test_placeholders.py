"""Placeholders and hashes, judged by the encoders that others use."""

from __future__ import annotations

import base64
import io

import blurhash
import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media_enricher.probe.fields import hashes, placeholders
from tests.probe.samples import full, photograph, saved
from tests.probe.thumbhash_reference import rgba_to_thumbhash
from tests.trust.likeness import Likeness

SEEDS = st.integers(0, 10_000)


def square(seed: int, channels: int = 3, *, least: int = 1) -> np.ndarray:
    """32x32 of anything from flat colour (where the least of samples is 1) to noise."""
    random = np.random.default_rng(seed)
    size = (int(random.integers(least, 33)), int(random.integers(least, 33)))
    coarse = random.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    mode = "RGBA" if channels == 4 else "RGB"
    grown = Image.fromarray(coarse, mode).resize((32, 32), Image.Resampling.BILINEAR)
    return np.asarray(grown)


@settings(max_examples=40)
@given(SEEDS, st.booleans())
def test_blurhash_is_what_the_blurhash_package_makes(seed: int, is_portrait: bool) -> None:
    pixels = square(seed)
    across, down = (3, 4) if is_portrait else (4, 3)
    theirs = blurhash.encode(pixels.tolist(), components_x=across, components_y=down)
    assert placeholders.blurhash(pixels, is_portrait=is_portrait) == theirs


@settings(max_examples=25)
@given(
    SEEDS, st.booleans(), st.sampled_from([(32, 32), (300, 200), (200, 300), (900, 10), (1, 50)])
)
def test_thumbhash_is_what_the_reference_makes(
    seed: int, has_alpha: bool, size: tuple[int, int]
) -> None:
    pixels = square(seed, 4 if has_alpha else 3, least=5)
    ours = base64.b64decode(placeholders.thumbhash(pixels, width=size[0], height=size[1]))
    rgba = np.asarray(Image.fromarray(pixels).convert("RGBA"))
    theirs = rgba_to_thumbhash(32, 32, rgba.tobytes())
    colours = 0x3FFFF
    assert (
        int.from_bytes(ours[:3], "little") & colours
        == int.from_bytes(theirs[:3], "little") & colours
    )
    if size == (32, 32):  # the shape chooses how many waves
        assert ours[:5] == theirs[:5]
        # A wave of nought lies between two levels, and sums in another order round otherwise.
        assert max(level_differences(ours, theirs)) <= 1
        assert sum(level_differences(ours, theirs)) <= 3


def level_differences(ours: bytes, theirs: bytes) -> list[int]:
    """By how many of 15 levels each wave differs."""
    return [
        abs((one >> shift & 15) - (other >> shift & 15))
        for one, other in zip(ours[5:], theirs[5:], strict=True)
        for shift in (0, 4)
    ]


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (100, 100), (100, 20)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_thumbhash_of_a_picture_is_close_to_the_reference_on_the_whole_picture(
    size: tuple[int, int], mode: str
) -> None:
    picture = photograph(*size)
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(size))
    found = full(saved(picture, "png"))
    assert found.thumbhash is not None
    ours = base64.b64decode(found.thumbhash)
    theirs = rgba_to_thumbhash(*size, picture.convert("RGBA").tobytes())
    assert len(ours) == len(theirs)
    assert ours[4] >> 7 == theirs[4] >> 7 == (size[0] > size[1])
    assert ours[3] & 7 == theirs[3] & 7, "as many waves"
    for shift in (0, 6, 12, 18):
        mine = int.from_bytes(ours[:3], "little") >> shift & 31
        other = int.from_bytes(theirs[:3], "little") >> shift & 31
        assert abs(mine - other) <= 1
    differences = level_differences(ours, theirs)
    assert sum(differences) / len(differences) < 0.6


@settings(max_examples=60)
@given(SEEDS)
def test_phash_is_imagehashs_on_the_same_samples(seed: int) -> None:
    grey = np.asarray(Image.fromarray(square(seed, least=8)).convert("L"))
    assert hashes.phash(grey) == str(imagehash.phash(Image.fromarray(grey)))


@pytest.mark.parametrize("level", [1, 77, 255])
def test_flat_pictures_have_one_hash_rather_than_one_of_noise(level: int) -> None:
    assert hashes.phash(np.full((32, 32), level, dtype=np.uint8)) == "8000000000000000"


@pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("size", [(300, 200), (640, 480), (1600, 1200), (2400, 800), (50, 40)])
def test_phash_of_a_file_is_within_a_few_bits_of_imagehashs(
    name: str, size: tuple[int, int]
) -> None:
    data = saved(photograph(*size), name)
    ours = full(data).phash
    assert ours is not None
    theirs = str(imagehash.phash(Image.open(io.BytesIO(data))))
    assert len(ours) == len(theirs) == 16
    assert (int(ours, 16) ^ int(theirs, 16)).bit_count() <= 6


def test_copies_in_other_sizes_and_formats_are_near_and_others_far() -> None:
    """As `make trust ARGS=likeness` measures it on photographs."""
    measured = Likeness("made pictures", least=6)
    for seed in range(6):
        turned = photograph(900, 600, seed=seed).transpose(Image.Transpose(seed))  # no part alike
        measured.add(f"{seed}", turned)
    assert list(measured.shortcomings()) == []
    assert (measured.percent_near, measured.percent_far) == (100, 100)


def test_a_portrait_has_more_waves_down_than_across() -> None:
    def first_digit(width: int, height: int) -> str:
        return (full(saved(photograph(width, height), "jpeg")).blurhash or "")[0]

    assert first_digit(200, 300) == "T"  # 3 across, 4 down
    assert first_digit(300, 200) == "L"  # 4 across, 3 down
    assert first_digit(200, 200) == "L"
