"""How pending objects are cut into batches: the unit of a task run, of caching and of writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zlib import crc32

import msgspec

from media_enricher.models import Depth, Outcome, StorageObject


class BatchLimits(msgspec.Struct, frozen=True):
    """Where a batch ends. Constants: were they measured, equal pending sets would cut unequally."""

    objects: int
    """A batch is closed at this many members."""
    size_bytes: int
    """A batch is closed once its members' sizes add up to this much."""
    cut_every: int
    """About one name in so many is a cut point."""


LIMITS = {
    # A header costs 0.2 to 0.5 ms of one core, a task run some 35 ms of Prefect's time.
    Depth.HEADER: BatchLimits(objects=2_000, size_bytes=2**62, cut_every=4_096),
    # A photograph costs about 20 ms of one core and 1 MB, a small image 1 ms and 20 KB.
    Depth.FULL: BatchLimits(objects=1_000, size_bytes=96 * 2**20, cut_every=2_048),
}


class Batch(msgspec.Struct):
    """Objects that are enriched, cached and written together.

    `outcomes` is what a retry of the task run finds done: the members, by path, that ended in
    anything but a transient failure.
    """

    depth: Depth
    objects: list[StorageObject]
    outcomes: dict[str, Outcome] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        """For people, in logs and Prefect's UI: `photos/00001.jpg +311`."""
        return f"{self.objects[0].path} +{len(self.objects) - 1}"

    def unfinished(self) -> list[StorageObject]:
        """The members that are still to be enriched, in order."""
        return [member for member in self.objects if member.path not in self.outcomes]

    def finish(self, outcomes: Iterable[Outcome]) -> None:
        """Take what was found, less the transient failures."""
        for outcome in outcomes:
            if not outcome.is_transient_failure:
                self.outcomes[outcome.asset.path] = outcome


def batches(objects: Iterable[StorageObject], depth: Depth) -> Iterator[Batch]:
    """Cut a stream of objects into batches whose boundaries depend on their members alone.

    A batch ends after a member whose name's hash is a cut point (content-defined chunking, as in
    rsync and backup tools), or where its own members reach a limit; never because of a page, a
    neighbour or a measured speed. Batches are written whole, so when a run is repeated after some
    of them were written, the rest are cut as before, and their cached results are found again.
    """
    limits = LIMITS[depth]
    members: list[StorageObject] = []
    size_bytes = 0
    for member in objects:
        members.append(member)
        size_bytes += member.size_bytes or 0
        if (
            len(members) >= limits.objects
            or size_bytes >= limits.size_bytes
            or crc32(member.path.encode()) % limits.cut_every == 0
        ):
            yield Batch(depth=depth, objects=members)
            members, size_bytes = [], 0
    if members:
        yield Batch(depth=depth, objects=members)
