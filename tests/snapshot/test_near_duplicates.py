"""The groups of look-alikes are those that comparing each with each would find."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_enricher.snapshot import near_duplicates
from media_enricher.snapshot.near_duplicates import MAX_DISTANCE, group_similar

hashes = st.integers(0, 2**64 - 1)
few_bits = st.sets(st.integers(0, 63), max_size=10).map(lambda bits: sum(1 << bit for bit in bits))


@st.composite
def families(draw: st.DrawFn) -> list[int]:
    """Hashes of which many are a few bits away from one another."""
    parents = draw(st.lists(hashes, min_size=1, max_size=5))
    changes = draw(st.lists(st.tuples(st.sampled_from(parents), few_bits), max_size=25))
    return parents + [parent ^ change for parent, change in changes]


def by_brute_force(values: list[int], distance: int) -> list[int]:
    """For each hash the first one that it is joined with, by comparing each with each."""
    group = list(range(len(values)))
    for left in range(len(values)):
        for right in range(left):
            if (values[left] ^ values[right]).bit_count() <= distance:
                old, new = sorted((group[left], group[right]), reverse=True)
                group = [new if member == old else member for member in group]
    return group


def first_members(groups: list[int]) -> list[int]:
    return [groups.index(group) for group in groups]


@given(families(), st.integers(0, MAX_DISTANCE))
@settings(max_examples=150)
def test_the_groups_are_those_of_brute_force(values: list[int], distance: int) -> None:
    found = group_similar(np.array(values, dtype=np.uint64), distance).tolist()

    assert first_members(found) == first_members(by_brute_force(values, distance))
    assert set(found) == set(range(max(found) + 1))


@given(families(), st.integers(0, 7))
@settings(max_examples=30)
def test_comparing_in_small_portions_finds_the_same(values: list[int], distance: int) -> None:
    array = np.array(values, dtype=np.uint64)
    whole = group_similar(array, distance).tolist()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "PAIRS_AT_ONCE", 3)
        assert group_similar(array, distance).tolist() == whole


def test_no_hashes_have_no_groups() -> None:
    assert group_similar(np.array([], dtype=np.uint64), 6).tolist() == []


@pytest.mark.parametrize("distance", [-1, 16])
def test_a_distance_out_of_range_is_refused(distance: int) -> None:
    with pytest.raises(ValueError, match=f"0 to 15, got {distance}"):
        group_similar(np.array([1], dtype=np.uint64), distance)


def test_fifty_thousand_hashes_take_seconds_not_minutes() -> None:
    random = np.random.default_rng(7)
    values = random.integers(0, 2**64, 50_000, dtype=np.uint64)
    values[:5_000] = values[5_000:10_000] ^ np.uint64(0b1011)

    started = time.process_time()
    groups = group_similar(values, 6)

    assert time.process_time() - started < 15  # 0.8 s alone on a core of 2024
    assert (groups[:5_000] == groups[5_000:10_000]).all()
    assert len(set(groups.tolist())) == 45_000
