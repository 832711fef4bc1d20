"""Which images look alike: groups of 64-bit perceptual hashes within a Hamming distance.

The search is multi-index hashing (Norouzi, Punjani, Fleet: Fast Search in Hamming Space with
Multi-Index Hashing, CVPR 2012): cut each hash into four bands of 16 bits. Two hashes at most `d`
bits apart are at most `d // 4` apart in one band at least (the pigeonhole principle), so only
those that nearly agree in a band are compared at all. All of it in NumPy; nothing is quadratic
unless the hashes themselves crowd together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

BANDS = 4
BITS_PER_BAND = 64 // BANDS
MAX_DISTANCE = 15
"""Above this a band may differ in four bits, and unrelated images begin to match anyway."""

PAIRS_AT_ONCE = 4_000_000
"""Bounds the memory of a comparison, to about 100 MB."""

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]


def group_similar(hashes: Hashes, max_distance: int) -> Indices:
    """The group of each hash: equal numbers for hashes that are joined by steps of close ones.

    Two hashes are close if at most `max_distance` of their 64 bits differ. Groups are the connected
    components of that relation (single linkage), so the ends of a group may be further apart.

    Args:
        hashes: shape (n,), perceptual hashes as unsigned 64-bit integers; equal ones are allowed.
        max_distance: 0 to 15 bits.

    Returns:
        Shape (n,): for each hash the number of its group, counted from 0 without gaps.

    Raises:
        ValueError: max_distance is out of its range.
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance must be 0 to {MAX_DISTANCE}, got {max_distance}")
    distinct, position = np.unique(hashes, return_inverse=True)
    root = np.arange(len(distinct))
    for left, right in _candidates(distinct, max_distance):
        is_close = np.bitwise_count(distinct[left] ^ distinct[right]) <= max_distance
        _join(root, left[is_close], right[is_close])
    _, group = np.unique(root, return_inverse=True)
    joined: Indices = group[position]
    return joined


def _candidates(hashes: Hashes, max_distance: int) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of indices that contain every close pair, in portions of bounded size."""
    for band in range(BANDS):
        keys = (hashes >> np.uint64(band * BITS_PER_BAND)) & np.uint64(2**BITS_PER_BAND - 1)
        order = np.argsort(keys, kind="stable")
        in_order = keys[order]
        for mask in _masks(max_distance // BANDS):
            wanted = keys ^ mask
            first = np.searchsorted(in_order, wanted, side="left")
            last = np.searchsorted(in_order, wanted, side="right")
            for left, place in _expand(first, last):
                right = order[place]
                once = left < right
                yield left[once], right[once]


def _masks(radius: int) -> Iterator[np.uint64]:
    """Every change of at most `radius` bits of a band."""
    for changes in range(radius + 1):
        for bits in combinations(range(BITS_PER_BAND), changes):
            yield np.uint64(sum(1 << bit for bit in bits))


def _expand(first: Indices, last: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Pairs (i, p) for each i and each p in range(first[i], last[i]), in bounded portions."""
    ends: Indices = np.cumsum(last - first)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, PAIRS_AT_ONCE):
        number = np.arange(start, min(start + PAIRS_AT_ONCE, total), dtype=np.int64)
        index: Indices = np.searchsorted(ends, number, side="right").astype(np.int64)
        place: Indices = last[index] - (ends[index] - number)
        yield index, place


def _join(root: Indices, left: Indices, right: Indices) -> None:
    """Union of all the pairs, in place: hook each root on the smallest it meets, then flatten."""
    while True:
        left, right = root[left], root[right]
        apart = left != right
        if not apart.any():
            return
        left, right = left[apart], right[apart]
        np.minimum.at(root, np.maximum(left, right), np.minimum(left, right))
        while (root[root] != root).any():
            root[:] = root[root]
