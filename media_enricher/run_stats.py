"""What a run did, in figures: the summary of them, and whether they make the run a failure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime

import msgspec

from media_enricher.models import AssetStatus, EnrichRun, Outcome, RunStatus

SAMPLES_PER_REASON = 5


class AdaptiveLimiter(msgspec.Struct, frozen=True):
    """How fast a run goes.

    Attributes:
        objects_per_second: since it began; None before the first object is done.
        seconds_left: at that pace; None unless it is running.
    """

    objects_per_second: float | None
    seconds_left: float | None


def pace(run: EnrichRun) -> AdaptiveLimiter:
    """The pace of a run, from its row."""
    if run.started_at is None or not run.processed_files:
        return AdaptiveLimiter(None, None)
    seconds = ((run.finished_at or datetime.now(UTC)) - run.started_at).total_seconds()
    per_second = run.processed_files / max(seconds, 0.001)
    left = (run.total_files - run.processed_files) / per_second
    return AdaptiveLimiter(per_second, left if run.status is RunStatus.RUNNING else None)


class Counts:
    """What is counted of a run, in the terms of its row.

    Attributes:
        total: objects the run has to do, as expected; more if more turned up.
        succeeded: objects that were enriched.
        failed: objects that were not.
        skipped: objects of types without a probe, and those that went away.
        bytes_read: from Storage.
    """

    def __init__(self, *, before: EnrichRun | None = None) -> None:
        """Begin, on top of what the run did before a retry."""
        self.succeeded = before.succeeded if before else 0
        self.failed = before.failed if before else 0
        self.skipped = before.skipped if before else 0
        self.bytes_read = before.bytes_read if before else 0
        self.total = self.processed
        self._started = time.monotonic()

    @property
    def processed(self) -> int:
        """Objects done, one way or another."""
        return self.succeeded + self.failed + self.skipped

    @property
    def seconds(self) -> float:
        """Since this attempt began."""
        return time.monotonic() - self._started

    @property
    def per_second(self) -> float:
        """Objects per second of this attempt."""
        return self.processed / self.seconds if self.seconds else 0.0

    def counters(self) -> dict[str, int]:
        """The counters of the run row, absolute, so that saving them twice is harmless."""
        return {
            "total_files": self.total,
            "processed_files": self.processed,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
            "bytes_read": self.bytes_read,
        }

    def summary(self) -> str:
        """What was done: `980 enriched, 20 failed, 3 unsupported of 1,003 in 41 s`."""
        if not self.total:
            return "Nothing to do"
        parts = [f"{self.succeeded:,} enriched"]
        counts = {"failed": self.failed, **self._reasons_to_skip()}
        parts += [f"{count:,} {what}" for what, count in counts.items() if count]
        return f"{', '.join(parts)} of {self.total:,} in {self.seconds:,.0f} s"

    def _reasons_to_skip(self) -> dict[str, int]:
        """Those that were skipped, by why."""
        return {"skipped": self.skipped}


class RunStats(Counts):
    """Counts of what a run did, over every attempt that Prefect made at it.

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
        """Take note of how many more objects there are to do."""
        self.total = self.processed + objects

    def add(
        self,
        outcomes: Iterable[Outcome],
        *,
        gone: Collection[str] = (),
        recorded: EnrichRun | None = None,
    ) -> None:
        """Count outcomes that are now durable.

        Args:
            outcomes: those of one part of the snapshot.
            gone: the paths that were deleted meanwhile.
            recorded: the run's row as the database has counted them; where it differs, as after
                another process's work at the same run, it is right.
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
        return {**known, "skipped before a retry": before}

    def failure_reason(
        self, *, threshold: float, minimum: int, seen_so_far: Callable[[], int] = lambda: 0
    ) -> str | None:
        """Why the run is to end failed, or None if it is a success.

        The share is of all objects of the selection that have been looked at so far, by this run
        or by one before: a rerun of the rest is judged as the one run over everything would be.

        Args:
            threshold: the largest share of failures, 0 to 1, that a success may have.
            minimum: fewer failures than this never fail a run, except where the run could read
                nothing at all, which is an outage and not a bad file.
            seen_so_far: counts the objects of the selection that need no look any more. Called
                only where this run's own share is too large.
        """
        if not self.failed:
            return None
        reasons = self._reasons()
        # An object that was tried again is counted once, and its failures are not.
        if self.failed == self.processed <= self.transient_failures:
            return f"none of {self.processed:,} objects could be read ({reasons})"
        if self.failed < minimum or self.failed <= threshold * self.processed:
            return None
        seen = max(self.processed, seen_so_far())
        if self.failed <= threshold * seen:
            return None
        share = f"{self.failed / seen:.0%} failed, more than the {threshold:.0%} allowed"
        of = f"{self.failed:,} of the {seen:,} objects looked at so far"
        return f"{share} ({of}: {reasons})"
