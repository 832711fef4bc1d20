"""How a set-up is checked: small checks in order, each of which passes or says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import msgspec

from media_enricher.doctor.setup import Setup, Trouble


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """A check that it needs did not pass, or there is nothing to check."""


class Check(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        name: what is checked, as shown to the user.
        look: returns what was found, in words; raises Trouble, or NothingToCheck.
        needs: the names of the earlier checks that must pass for this one to make sense.
    """

    name: str
    look: Callable[[Setup], str]
    needs: tuple[str, ...] = ()


class Diagnosis(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of one check, in words; `remedy` says what to do about a failure."""

    name: str
    verdict: Verdict
    found: str
    remedy: str | None = None


class NothingToCheck(Exception):  # noqa: N818  (not an error: the set-up does not need it)
    """The set-up does not use what this check looks at. The message says so."""


def diagnose(checks: Iterable[Check], setup: Setup) -> Iterator[Diagnosis]:
    """Run the checks in order, and yield each result as soon as it is known."""
    passed: dict[str, bool] = {}
    for check in checks:
        missing = next((name for name in check.needs if not passed[name]), None)
        diagnosis = (
            _look(check, setup)
            if missing is None
            else Diagnosis(check.name, Verdict.SKIPPED, f"needs: {missing}")
        )
        passed[check.name] = diagnosis.verdict is Verdict.OK
        yield diagnosis


def _look(check: Check, setup: Setup) -> Diagnosis:
    try:
        return Diagnosis(check.name, Verdict.OK, check.look(setup))
    except NothingToCheck as absent:
        return Diagnosis(check.name, Verdict.SKIPPED, str(absent))
    except Trouble as trouble:
        return Diagnosis(check.name, Verdict.FAILED, trouble.problem, trouble.remedy)
