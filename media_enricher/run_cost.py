"""What a run would cost: the bytes that it would read from Storage, and how long that would take.

An estimate, from two things that the database knows: how much is pending, and how fast the last
runs were. It stops at what a run reads of each object, not at what is stored: of large objects only
parts are read, and at depth `header` a few kilobytes of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from media_enricher.models import Depth, PendingCount, RunPace, Share

OBJECT_COSTS_BYTES = 75_000
"""At depth `full`, an object takes as long as so many bytes do, on top of its own. Planning shares
work out by the same number (`media_split_pending`)."""
HEADER_BYTES = 64 * 1024
"""What depth `header` reads of an object, before a run has shown how much it is."""

Paces = Mapping[Depth, RunPace]


def joined_shares(shares: Sequence[Share], most: int, depth: Depth) -> list[Share]:
    """Join neighbouring shares into at most `most` that take about the same time each.

    It cuts as `media_split_pending` does: each share falls to where its middle lies.

    Args:
        shares: in the order of their paths.
        most: the number of shares to make.
        depth: what is read of an object, which says what a share costs.
    """
    costs = [_share_cost(share, depth) for share in shares]
    whole, so_far = sum(costs), 0.0
    joined: dict[int, Share] = {}
    for share, cost in zip(shares, costs, strict=True):
        number = int((so_far + cost / 2) * most / whole)
        so_far += cost
        before = joined.get(number)
        joined[number] = Share(
            until=share.until,
            objects=share.objects + (before.objects if before else 0),
            size_bytes=share.size_bytes + (before.size_bytes if before else 0),
        )
    return list(joined.values())


def _share_cost(share: Share, depth: Depth) -> float:
    if depth is Depth.HEADER:
        return share.objects
    return share.objects * OBJECT_COSTS_BYTES + share.size_bytes


class Cost(msgspec.Struct, frozen=True):
    """What reading takes at one depth.

    Attributes:
        read_bytes: to be read from Storage: the egress.
        seconds: how long that takes; None if no run of this depth has shown it.
    """

    read_bytes: int
    seconds: float | None

    def __str__(self) -> str:
        """For people: `905.2 MiB to read, about 12 min`."""
        return f"{_size(self.read_bytes)} to read, {_duration(self.seconds)}"


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do and cost.

    Attributes:
        objects: that are pending, within the run's limit.
        size_bytes: of these objects, as they are stored.
        cost: at the depth asked for, within the run's budget.
        header: at depth `header`, if that is suggested instead; else None.
    """

    objects: int
    size_bytes: int
    cost: Cost
    header: Cost | None = None

    def suggestion(self) -> str | None:
        """Say why depth `header` is suggested; None if it is not."""
        if self.header is None:
            return None
        return (
            f"Consider depth header first ({self.header}): depth full reads "
            f"{_size(self.cost.read_bytes)}."
        )

    def summary(self) -> str:
        """Say all of it, for people."""
        if not self.objects:
            return "0 objects to enrich"
        counted = (
            f"{self.objects:,} objects to enrich, {_size(self.size_bytes)} stored, {self.cost}"
        )
        return ". ".join(filter(None, (counted, self.suggestion())))


def header_bytes(paces: Paces) -> int:
    """What depth `header` reads of an object: the mean of the last runs, or `HEADER_BYTES`."""
    pace = paces.get(Depth.HEADER)
    if pace is None or not pace.objects:
        return HEADER_BYTES
    return max(1, pace.bytes_read // pace.objects)


def estimate(
    pending: PendingCount,
    depth: Depth,
    paces: Paces,
    *,
    max_bytes: int | None = None,
    bytes_per_second: float | None = None,
    suggest_header_above: float,
) -> Estimate:
    """Estimate what a run would cost.

    Args:
        pending: what is to do, and how much of it would be read at either depth.
        depth: that is asked for.
        paces: how fast the last runs of each depth were, if there were any.
        max_bytes: the run's budget.
        bytes_per_second: the rate that its downloads are limited to.
        suggest_header_above: depth `header` is suggested where `full` would read more bytes.
    """

    def cost(at: Depth) -> Cost:
        return _cost(pending, at, paces.get(at), max_bytes, bytes_per_second)

    asked = cost(depth)
    is_much = depth is Depth.FULL and asked.read_bytes > suggest_header_above
    return Estimate(
        objects=pending.objects,
        size_bytes=pending.size_bytes,
        cost=asked,
        header=cost(Depth.HEADER) if is_much else None,
    )


def _cost(
    pending: PendingCount,
    depth: Depth,
    pace: RunPace | None,
    max_bytes: int | None,
    bytes_per_second: float | None,
) -> Cost:
    everything = pending.full_bytes if depth is Depth.FULL else pending.header_bytes
    read = everything if max_bytes is None else min(everything, max_bytes)
    if pace is None:
        return Cost(read, None)
    share = read / everything if everything else 1.0
    work = _work(depth, share * pending.objects, read)
    seconds = pace.seconds * work / max(1.0, _work(depth, pace.objects, pace.bytes_read))
    if bytes_per_second is not None:
        seconds = max(seconds, read / bytes_per_second)
    return Cost(read, round(seconds, 1))


def _work(depth: Depth, objects: float, read_bytes: int) -> float:
    """What takes about the same time, whatever the sizes of the objects are."""
    return objects if depth is Depth.HEADER else OBJECT_COSTS_BYTES * objects + read_bytes


def _size(size_bytes: int) -> str:
    mib = size_bytes / 2**20
    return f"{mib / 1024:,.1f} GiB" if mib >= 1024 else f"{mib:,.1f} MiB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "in an unknown time (no run of this depth yet)"
    minutes = seconds / 60
    if minutes < 1:
        return f"about {max(1, round(seconds))} s"
    return f"about {minutes:,.0f} min" if minutes < 120 else f"about {minutes / 60:,.0f} h"
