"""Record outcomes so that rows, snapshot and counters agree, whenever a run is killed.

A part of the snapshot is written first, under a name that readers ignore. Then one transaction
stores its rows, adds to the counters, and marks the part as recorded. Then the part is renamed, in
a thread: meanwhile the next part is written, but it is recorded only after that. To wait for each
of the three cost a run over a round trip of 0.2 s a third of the rate at which it can write.

A run that is killed before the transaction leaves a file that readers ignore: `settling`, or the
next attempt at the run, deletes it once the run has ended, and its objects are still pending. A run
that is killed after the transaction leaves a part that the database has as recorded: the same two
rename it at once, which is right whether the run has ended or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from media_enricher.models import EnrichRun, Outcome
from media_enricher.orchestration import resources
from media_enricher.orchestration.background import in_background
from media_enricher.orchestration.settling import settle_snapshots
from media_enricher.snapshot.writer import SnapshotWriter
from media_enricher.supabase.ledgers import PART_ROWS


class Recorded(NamedTuple):
    """A recorded part of a snapshot.

    Attributes:
        outcomes: the outcomes in the part.
        gone: the paths that got no row, because the object was deleted meanwhile.
        address: the address of the file, once it has its name.
        run: the row of the run, including this part.
    """

    outcomes: Sequence[Outcome]
    gone: frozenset[str]
    address: str
    run: EnrichRun


class Recorder:
    """Records the outcomes of one attempt at a run.

    A context manager. It is left, unless by an interruption, once the last part has its name.
    """

    def __init__(self, run_id: str, bucket: str, snapshot: SnapshotWriter) -> None:
        self._run_id = run_id
        self._bucket = bucket
        self._snapshot = snapshot
        self._part: int | None = None
        self._publishing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Wait until the last part has its name.

        Raises:
            SnapshotError: it cannot be renamed.
            SupabaseError: Storage refused or failed to rename it, after retries.
        """
        if kind is None:
            self._wait_until_published()
        elif issubclass(kind, Exception) and self._publishing is not None:
            self._publishing.exception()  # the error that is under way is the one to report

    def open(self) -> None:
        """Check that parts can be written, and delete parts that were never recorded.

        Those are left by earlier attempts at this run and by ended runs on the bucket.

        Raises:
            SnapshotError: the snapshot cannot be written.
            SupabaseError: Supabase does not respond.
        """
        if self._part is None:
            settle_snapshots(self._bucket)
            self._part = self._open()

    def record(self, outcomes: Sequence[Outcome]) -> Iterator[Recorded]:
        """Write outcomes in parts of at most `PART_ROWS`, and yield each once it is durable.

        Raises:
            SnapshotError: the snapshot cannot be written; nothing of the part was recorded.
            SupabaseError: the database or Storage did not accept it, after retries.
        """
        for start in range(0, len(outcomes), PART_ROWS):
            yield self._record(outcomes[start : start + PART_ROWS])

    def _record(self, outcomes: Sequence[Outcome]) -> Recorded:
        ledger = resources.snapshot_ledger()
        while True:
            part = self._open() if self._part is None else self._part
            self._part = None  # if anything fails from here on, `_open` cleans it up
            self._snapshot.write(part, outcomes)
            self._wait_until_published()  # only the last recorded part may be without its name
            recorded = ledger.record(self._run_id, part, self._bucket, outcomes)
            if recorded is not None:
                self._publishing = in_background(
                    partial(self._snapshot.publish, part), name="publishing"
                )
                self._part = recorded.next_part
                address = self._snapshot.address(part)
                return Recorded(outcomes, frozenset(recorded.gone), address, recorded.run)
            # The run was silent for too long, counted as dead, and the part was given up.
            self._snapshot.delete([part])

    def _wait_until_published(self) -> None:
        publishing, self._publishing = self._publishing, None  # an error is raised once
        if publishing is not None:
            publishing.result()

    def _open(self) -> int:
        ledger = resources.snapshot_ledger()
        opened = ledger.open(self._run_id, self._snapshot.prepare())
        if opened.recorded is not None:
            self._snapshot.publish(opened.recorded)
        if opened.given_up:
            self._snapshot.delete(opened.given_up)
            ledger.forget(self._run_id, opened.given_up)
        return opened.part
