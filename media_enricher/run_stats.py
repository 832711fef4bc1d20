"""The figures of a run: counts, a summary in one sentence, and whether the run has failed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime

import msgspec

from media_enricher.models import AssetStatus, EnrichRun, Outcome, RunStatus

SAMPLES_PER_REASON = 5


class RunSpeed(msgspec.Struct, frozen=True):
    """How fast a run is.

    Attributes:
        objects_per_second: the mean since the run began. None before the first object is done.
        seconds_left: the time for the remaining objects at this speed. None unless it is running.
    """

    objects_per_second: float | None
    seconds_left: float | None


def speed_of(run: EnrichRun) -> RunSpeed:
    """Compute the speed of a run from its row."""
    if run.started_at is None or not run.processed_files:
        return RunSpeed(None, None)
    seconds = ((run.finished_at or datetime.now(UTC)) - run.started_at).total_seconds()
    per_second = run.processed_files / max(seconds, 0.001)
    left = (run.total_files - run.processed_files) / per_second
    return RunSpeed(per_second, left if run.status is RunStatus.RUNNING else None)


class Counts:
    """The counters of a run, named as the columns of its row.

    Attributes:
        total: objects that the run has to process. It grows if more objects turn up, and is settled
            at the end: some may have been deleted meanwhile, or processed by another run.
        is_counting: whether the total is still being counted.
        succeeded: objects that were enriched.
        failed: objects that could not be enriched.
        skipped: objects of a type that has no probe, and objects that were deleted meanwhile. For
            people they are "unsupported" and "gone".
        bytes_read: bytes downloaded from Storage.
    """

    def __init__(self, *, before: EnrichRun | None = None) -> None:
        """Start at zero, or at what the run did before a retry."""
        self.succeeded = before.succeeded if before else 0
        self.failed = before.failed if before else 0
        self.skipped = before.skipped if before else 0
        self.bytes_read = before.bytes_read if before else 0
        self.total = self.processed
        self.is_counting = False
        self._started = time.monotonic()

    @property
    def processed(self) -> int:
        """The number of objects that were processed, with any result."""
        return self.succeeded + self.failed + self.skipped

    @property
    def seconds(self) -> float:
        """Seconds since this attempt began."""
        return time.monotonic() - self._started

    @property
    def per_second(self) -> float:
        """Objects per second in this attempt."""
        return self.processed / self.seconds if self.seconds else 0.0

    def settle(self) -> bool:
        """Lower the total to what was processed, as nothing is left to do; whether it changed."""
        settled, self.total = self.total, self.processed
        return settled != self.total

    def counters(self) -> dict[str, int]:
        """Return the counters as columns of the run's row.

        They are totals and not increments, so saving them twice is harmless.
        """
        return {
            "total_files": self.total,
            "processed_files": self.processed,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
            "bytes_read": self.bytes_read,
        }

    def summary(self) -> str:
        """Return one sentence, as in `980 enriched, 20 failed, 3 unsupported of 1,003 in 41 s`."""
        if not self.total:
            return "Nothing to do"
        parts = [f"{self.succeeded:,} enriched"]
        counts = {"failed": self.failed, **self._reasons_to_skip()}
        parts += [f"{count:,} {what}" for what, count in counts.items() if count]
        return f"{', '.join(parts)} of {self.total:,} in {self.seconds:,.0f} s"

    def _reasons_to_skip(self) -> dict[str, int]:
        """The skipped objects by reason."""
        return {"unsupported": self.skipped}


class RunStats(Counts):
    """Counts what a run did, over all attempts that Prefect made.

    Attributes:
        failures: objects per error code.
        samples: for each error code, up to five `(path, message)`.
        formats: enriched objects per format.
    """

    def __init__(self, *, before: EnrichRun | None = None) -> None:
        """Start at zero, or at what the run did before a retry."""
        super().__init__(before=before)
        self.unsupported = 0
        self.gone = 0
        self.transient_failures = 0
        self.failures: Counter[str] = Counter()
        self.samples: dict[str, list[tuple[str, str]]] = {}
        self.formats: Counter[str] = Counter()
        self.format_bytes: Counter[str] = Counter()

    def expect(self, objects: int) -> None:
        """Set how many more objects there are to process."""
        self.total = self.processed + objects

    def add(
        self,
        outcomes: Iterable[Outcome],
        *,
        gone: Collection[str] = (),
        recorded: EnrichRun | None = None,
    ) -> None:
        """Count outcomes that are stored in the database.

        Args:
            outcomes: the outcomes of one part of the snapshot.
            gone: the paths of objects that were deleted meanwhile.
            recorded: the run's row after the database counted the outcomes. Its counters replace
                the counters here, because another process may have worked on the same run.
        """
        for outcome in outcomes:
            self.bytes_read += outcome.bytes_read
            asset = outcome.asset
            if asset.path in gone:
                self.gone += 1
                self.skipped += 1
            elif asset.status is AssetStatus.ENRICHED:
                self.succeeded += 1
                self.formats[asset.format or "unknown"] += 1
                self.format_bytes[asset.format or "unknown"] += asset.size_bytes or 0
            elif asset.status is AssetStatus.UNSUPPORTED:
                self.unsupported += 1
                self.skipped += 1
            else:
                self._add_failure(outcome)
        if recorded is not None:
            self.succeeded, self.failed = recorded.succeeded, recorded.failed
            self.skipped, self.bytes_read = recorded.skipped, recorded.bytes_read
            self.total = recorded.total_files
        self.total = max(self.total, self.processed)

    def _add_failure(self, outcome: Outcome) -> None:
        self.failed += 1
        self.transient_failures += outcome.is_transient_failure
        reason = outcome.asset.error_code or "unknown"
        self.failures[reason] += 1
        samples = self.samples.setdefault(reason, [])
        if len(samples) < SAMPLES_PER_REASON:
            samples.append((outcome.asset.path, outcome.asset.error_message or ""))

    def _reasons(self) -> str:
        return ", ".join(f"{count:,} {code}" for code, count in self.failures.most_common(3))

    def _reasons_to_skip(self) -> dict[str, int]:
        known = {"unsupported": self.unsupported, "gone": self.gone}
        before = max(0, self.skipped - sum(known.values()))
        return {**known, "unsupported before a retry": before}

    def failure_reason(
        self, *, threshold: float, minimum: int, seen_so_far: Callable[[], int] = lambda: 0
    ) -> str | None:
        """Return why the run has failed, or None if it is a success.

        The share of failures is taken of all objects of the selection that were processed so far,
        by this run or by earlier ones. So a run that processes only the rest gets the same result
        as one run over all objects.

        Args:
            threshold: the largest share of failures, 0 to 1, that a successful run may have.
            minimum: a run with fewer failures than this has not failed. The exception is a run that
                could read no object at all: that is an outage and not a bad file.
            seen_so_far: counts the objects of the selection that are processed already. It is
                called only if the share of failures of this run alone is above the threshold.
        """
        if not self.failed:
            return None
        reasons = self._reasons()
        # An object that was tried several times counts once, whatever its earlier failures were.
        if self.failed == self.processed <= self.transient_failures:
            return f"none of {self.processed:,} objects could be read ({reasons})"
        if self.failed < minimum or self.failed <= threshold * self.processed:
            return None
        seen = max(self.processed, seen_so_far())
        if self.failed <= threshold * seen:
            return None
        share = f"{self.failed / seen:.0%} failed, more than the {threshold:.0%} allowed"
        of = f"{self.failed:,} of the {seen:,} objects processed so far"
        return f"{share} ({of}: {reasons})"
