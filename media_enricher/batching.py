"""How pending objects are cut into batches: the unit of a task run, of caching and of writing."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from zlib import crc32

import msgspec

from media_enricher.models import ENRICHER_VERSION, Depth, Outcome, StorageObject


class BatchLimits(msgspec.Struct, frozen=True):
    """Where a batch ends. Constants, so that the same pending set always gives the same batches."""

    objects: int
    """A batch is closed at this many members."""
    size_bytes: int
    """A batch is closed once its members' sizes add up to this much."""
    cut_every: int
    """About one name in so many is a cut point."""


LIMITS = {
    # A header costs 0.2 to 0.5 ms of one core, a task run some 35 ms of Prefect's time.
    Depth.HEADER: BatchLimits(objects=4_000, size_bytes=2**62, cut_every=8_192),
    # A photograph costs about 15 ms of one core and 1 MB, a small image 1 ms and 20 KB. 192 MB keep
    # two cores busy for 2 s. With 96 MB, 2,000 photographs took 70 to 78 task runs, and now 50.
    # With 1,000 objects, 25,000 small images took 54 task runs, and now 42.
    Depth.FULL: BatchLimits(objects=2_000, size_bytes=192 * 2**20, cut_every=2_048),
}
CLUSTER_LIMITS = {
    # One engine worker has a batch to itself, and at the end the others wait for it. Over 80 ms
    # and with 48 downloads at once, a worker takes 500 headers a second, so 8 s for 4,000.
    Depth.HEADER: BatchLimits(objects=1_000, size_bytes=2**62, cut_every=2_048),
    Depth.FULL: BatchLimits(objects=500, size_bytes=48 * 2**20, cut_every=1_024),
}
"""Where batches end whose engine workers are those of a cluster."""


class Batch(msgspec.Struct):
    """Objects that are enriched and cached together.

    Attributes:
        depth: how they are read.
        objects: the members, in the order of their paths.
        after: the path that the batch comes after; empty for the first of all.
        until: the path that it ends at. A batch that is the rest of another keeps its bounds.
        failed: what a member ended in that could not be read for now, by path.
        rounds: how often those that could not be read have been read again.
        is_rest: it is what another has left.
        allowance: the bytes that may be read of it; None for any number. It is no part of what a
            result is cached by: a batch has the same result with any allowance that reads it all.
        given_up: what members ended in when they were read before, by path: they are read again.
    """

    depth: Depth
    objects: list[StorageObject]
    after: str = ""
    until: str = ""
    failed: dict[str, Outcome] = msgspec.field(default_factory=dict)
    rounds: int = 0
    is_rest: bool = False
    allowance: int | None = None
    given_up: dict[str, Outcome] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        """For people, in logs and Prefect's UI: `photos/00001.jpg +311`."""
        return f"{self.objects[0].path} +{len(self.objects) - 1}"

    def untried(self) -> list[StorageObject]:
        """The members that did not fail for now, in order."""
        return [member for member in self.objects if member.path not in self.failed]

    def begin_again(self) -> None:
        """Have the members that failed for now read again."""
        self.given_up |= self.failed
        self.failed = {}
        self.rounds += 1

    def include_given_up(self, outcomes: Iterable[Outcome]) -> None:
        """Add to outcomes the bytes that earlier rounds read of the same members."""
        for outcome in outcomes:
            if earlier := self.given_up.pop(outcome.asset.path, None):
                outcome.bytes_read += earlier.bytes_read

    def subtract(self, outcomes: Iterable[Outcome]) -> None:
        """Take what was read for these outcomes from the allowance."""
        if self.allowance is not None:
            self.allowance -= sum(outcome.bytes_read for outcome in outcomes)

    def rest(self, done: Collection[str], failed: Iterable[Outcome], rounds: int) -> Batch | None:
        """What is left of the batch once the members of these paths are done; None for nothing.

        It has the allowance of the batch: the caller subtracts what was read.
        """
        left = [member for member in self.objects if member.path not in done]
        if not left:
            return None
        return Batch(
            depth=self.depth,
            objects=left,
            after=self.after,
            until=self.until,
            failed={outcome.asset.path: outcome for outcome in failed},
            rounds=rounds,
            is_rest=True,
            allowance=self.allowance,
            given_up=self.given_up,
        )

    def mismatch(self, looked: Looked) -> str | None:
        """Say why a result cannot be the result of this batch; None if it can be.

        Without this check, a result of other objects leaves the batch as it was: the rest of the
        batch is the batch, has the same cache key, and finds the same result for ever.
        """
        if not looked.done:
            return "it holds no outcomes"
        members = {(member.bucket, member.path) for member in self.objects}
        for outcome in looked.done:
            asset = outcome.asset
            if (asset.bucket, asset.path) not in members:
                return f"{asset.path!r} in bucket {asset.bucket!r} is not in the batch, or is twice"
            members.remove((asset.bucket, asset.path))
            if asset.depth is not self.depth:
                return f"{asset.path!r} was read at depth {asset.depth}, not {self.depth}"
            if asset.enricher_version != ENRICHER_VERSION:
                return (
                    f"{asset.path!r} was enriched by version {asset.enricher_version}, "
                    f"not {ENRICHER_VERSION}"
                )
        return None

    def bounds(self) -> set[str]:
        """The paths that no batch of a later run may reach across, while this one is not done."""
        return {self.after, self.until} - {""}


class Looked(msgspec.Struct):
    """What a task run found in its batch. Members that are in neither list are under way still.

    Attributes:
        done: the outcomes that stand.
        failed: those of members that could not be read for now.
        rounds: how often such were read again.
        is_cut_short: the allowance had no room for the other members.
    """

    done: list[Outcome]
    failed: list[Outcome]
    rounds: int
    is_cut_short: bool = False


def batches(
    objects: Iterable[StorageObject],
    depth: Depth,
    cuts: Iterable[str] = (),
    *,
    is_in_cluster: bool = False,
) -> Iterator[Batch]:
    """Cut a stream of objects into batches whose boundaries depend on their members alone.

    A batch ends after a member whose name's hash is a cut point (content-defined chunking, as in
    rsync and backup tools), or where its own members reach a limit; never because of a page, a
    neighbour or a measured speed. So when a run is repeated after some batches were written, the
    rest are cut as before, and their cached results are found again.

    Args:
        objects: in the order of their paths.
        depth: how they are to be read.
        cuts: paths that no batch reaches across: the bounds of those that an earlier run has
            written in part, of which the rest would otherwise be cut in another way.
        is_in_cluster: whether each batch goes to one worker of a cluster.
    """
    limits = (CLUSTER_LIMITS if is_in_cluster else LIMITS)[depth]
    ahead = deque(sorted(cuts, key=str.encode))
    members: list[StorageObject] = []
    size_bytes = 0
    after = ""

    def closed() -> Batch:
        return Batch(depth=depth, objects=members, after=after, until=members[-1].path)

    for member in objects:
        is_behind_a_cut = False
        while ahead and ahead[0].encode() < member.path.encode():
            after_cut = ahead.popleft()
            is_behind_a_cut = True
        if is_behind_a_cut and members:
            yield closed()
            members, size_bytes = [], 0
        if is_behind_a_cut:
            after = after_cut
        members.append(member)
        size_bytes += member.size_bytes or 0
        if (
            len(members) >= limits.objects
            or size_bytes >= limits.size_bytes
            or crc32(member.path.encode()) % limits.cut_every == 0
        ):
            yield closed()
            after, members, size_bytes = member.path, [], 0
    if members:
        yield closed()
