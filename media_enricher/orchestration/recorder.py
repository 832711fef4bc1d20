"""Making outcomes durable such that rows, snapshot and counters agree, whenever a run is killed.

A part of the snapshot is written first, under a name that readers do not take. Then one transaction
records its rows, counts them, and notes the part as recorded. Then the part gets its name.

Killed before the transaction, the run leaves a file that nobody reads: `settling`, or the next
attempt at the run, deletes it once the run is known to be over, and the next run finds its objects
still to be done. Killed after it, the run leaves a part that the database knows as recorded: the
same two give it its name, at once, for that is right whether the run is over or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from media_enricher.models import EnrichRun, Outcome
from media_enricher.orchestration import resources
from media_enricher.orchestration.settling import settle_snapshots
from media_enricher.snapshot.writer import SnapshotWriter
from media_enricher.supabase.ledgers import PART_ROWS


class Recorded(NamedTuple):
    """A part of a snapshot that counts.

    Attributes:
        outcomes: what is in it.
        gone: the paths among them that have no row, because their object was deleted meanwhile.
        address: of the file.
        run: the row of the run, this part counted.
    """

    outcomes: Sequence[Outcome]
    gone: frozenset[str]
    address: str
    run: EnrichRun


class Recorder:
    """What records the outcomes of one attempt at a run."""

    def __init__(self, run_id: str, bucket: str, snapshot: SnapshotWriter) -> None:
        self._run_id = run_id
        self._bucket = bucket
        self._snapshot = snapshot
        self._part: int | None = None

    def open(self) -> None:
        """Make sure that parts can be written, and that none is left that was never recorded.

        Neither by an attempt before at this run, nor by another run on the bucket that is over.

        Raises:
            SnapshotError: there is nowhere to put the snapshot.
            SupabaseError: Supabase does not answer.
        """
        if self._part is None:
            settle_snapshots(self._bucket)
            self._part = self._open()

    def record(self, outcomes: Sequence[Outcome]) -> Iterator[Recorded]:
        """Write outcomes in parts of at most `PART_ROWS`, and yield each once it is durable.

        Raises:
            SnapshotError: the snapshot can't be written; nothing of the part was recorded.
            SupabaseError: the database or Storage did not take it, after retries.
        """
        for start in range(0, len(outcomes), PART_ROWS):
            yield self._record(outcomes[start : start + PART_ROWS])

    def _record(self, outcomes: Sequence[Outcome]) -> Recorded:
        ledger = resources.snapshot_ledger()
        while True:
            part = self._open() if self._part is None else self._part
            self._part = None  # whatever fails from here on, what it left is settled by `_open`
            self._snapshot.write(part, outcomes)
            recorded = ledger.record(self._run_id, part, self._bucket, outcomes)
            if recorded is not None:
                address = self._snapshot.publish(part)
                self._part = recorded.next_part
                return Recorded(outcomes, frozenset(recorded.gone), address, recorded.run)
            # We were silent for so long that we were taken for dead, and the part was given up.
            self._snapshot.delete([part])

    def _open(self) -> int:
        ledger = resources.snapshot_ledger()
        opened = ledger.open(self._run_id, self._snapshot.prepare())
        if opened.recorded is not None:
            self._snapshot.publish(opened.recorded)
        if opened.given_up:
            self._snapshot.delete(opened.given_up)
            ledger.forget(self._run_id, opened.given_up)
        return opened.part
