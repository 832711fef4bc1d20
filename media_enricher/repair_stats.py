"""The figures of a run that repairs content types, and which objects it repairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from media_enricher.declared_types import Left, decide
from media_enricher.type_repairs import MistypedObject, RepairOutcome

LARGEST_COPY = 5 * 1024**3
"""In bytes: S3 copies no larger object in one request, and Storage makes one."""


class Skipped(StrEnum):
    """Why an object is not repaired, beside what `Left` says of its types."""

    STALE = "stale"
    """It was overwritten since it was enriched."""
    REFUSED_BY_BUCKET = "refused-by-bucket"
    """The bucket does not take the true type."""
    TOO_LARGE = "too-large"
    """Storage cannot copy it."""


class Repair(msgspec.Struct, frozen=True):
    """An object, and the type that it is to be declared as."""

    mistyped: MistypedObject
    to_type: str


class RepairStats:
    """What a run did to declared content types.

    Attributes:
        planned: objects to repair, by the types before and after.
        outcomes: what became of them.
        left: objects that stay as they are, by the reason.
        unsettled: the ids of repairs of which nobody knows yet whether Storage made the copy.
        settled: repairs of other runs that were interrupted, and what became of them.
    """

    def __init__(self) -> None:
        self.planned: Counter[tuple[str, str]] = Counter()
        self.outcomes: Counter[RepairOutcome] = Counter()
        self.left: Counter[Left | Skipped] = Counter()
        self.unsettled: set[str] = set()
        self.settled: Counter[RepairOutcome] = Counter()

    def plan(
        self, page: Iterable[MistypedObject], *, allowed: Sequence[str], limit: int | None
    ) -> list[Repair]:
        """Choose the objects of a page to repair, and count all.

        Args:
            page: objects whose declared type is another than that of their bytes.
            allowed: the types that the bucket takes; empty for all.
            limit: how many to repair in the whole run; None for all.
        """
        chosen: list[Repair] = []
        for each in page:
            if limit is not None and self.planned.total() >= limit:
                break
            to_type = self._type_for(each, allowed)
            if to_type is not None:
                self.planned[each.declared_content_type or "none", to_type] += 1
                chosen.append(Repair(each, to_type))
        return chosen

    def _type_for(self, each: MistypedObject, allowed: Sequence[str]) -> str | None:
        to_type, left = decide(each.declared_content_type, each.content_type)
        reason: Left | Skipped | None = left
        if to_type is not None:
            reason = _reason_to_skip(each, to_type, allowed)
        if reason is None:
            return to_type
        if reason is not Left.RIGHT:
            self.left[reason] += 1
        return None

    def settle(self, repair_id: str, outcome: RepairOutcome) -> None:
        """Count what became of a repair that was interrupted, of this run or of another."""
        if repair_id in self.unsettled:
            self.unsettled.remove(repair_id)
            self.outcomes[outcome] += 1
        else:
            self.settled[outcome] += 1

    def summary(self) -> str:
        """What the run did, for people."""
        repaired = self.outcomes[RepairOutcome.REPAIRED] + self.outcomes[RepairOutcome.UNVERIFIED]
        parts = [f"{repaired:,} of {self.planned.total():,} content types repaired"]
        parts += [
            f"{count:,} {outcome.replace('_', ' ')}"
            for outcome, count in self.outcomes.items()
            if outcome not in {RepairOutcome.REPAIRED, RepairOutcome.UNVERIFIED}
        ]
        if self.unsettled:
            parts.append(f"{len(self.unsettled):,} for the next run to settle")
        if self.settled:
            parts.append(f"{self.settled.total():,} of an interrupted run settled")
        return "; ".join([", ".join(parts), *self._left_as_text()])

    def intent(self) -> str:
        """What a run would do, for people."""
        to_do = f"{self.planned.total():,} content types to repair"
        return "; ".join([to_do, *self._left_as_text()])

    def _left_as_text(self) -> list[str]:
        if not self.left:
            return []
        reasons = (f"{count:,} {reason}" for reason, count in sorted(self.left.items()))
        return [f"left as they are: {', '.join(reasons)}"]

    def failure_reason(self, *, threshold: float, minimum: int) -> str | None:
        """Why the run must end as failed; None if it need not.

        Args:
            threshold: the share of failures above which it fails.
            minimum: with fewer failures, it does not.
        """
        failed = self.outcomes[RepairOutcome.FAILED] + len(self.unsettled)
        tried = self.outcomes.total() + len(self.unsettled)
        if failed < minimum or failed <= threshold * tried:
            return None
        return f"{failed / tried:.0%} failed, more than the {threshold:.0%} that are accepted"


def _reason_to_skip(each: MistypedObject, to_type: str, allowed: Sequence[str]) -> Skipped | None:
    if each.is_stale:
        return Skipped.STALE
    if allowed and not {to_type, f"{to_type.partition('/')[0]}/*", "*/*", "*"} & set(allowed):
        return Skipped.REFUSED_BY_BUCKET
    return Skipped.TOO_LARGE if (each.size_bytes or 0) > LARGEST_COPY else None
