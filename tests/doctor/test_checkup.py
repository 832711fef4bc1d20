"""Checks run in order; what depends on a failure is skipped and not called a failure itself."""

from __future__ import annotations

from typing import NoReturn

import pytest

from media_enricher.doctor import CHECKS, Check, Setup, Verdict, diagnose
from media_enricher.doctor.checkup import NothingToCheck
from media_enricher.doctor.setup import Trouble


def well(_: Setup) -> str:
    return "fine"


def ill(_: Setup) -> NoReturn:
    raise Trouble("it is broken", "mend it")


def absent(_: Setup) -> NoReturn:
    raise NothingToCheck("not used")


def test_a_failure_says_what_to_do_and_what_needs_it_is_skipped() -> None:
    checks = [
        Check("A", well),
        Check("B", ill, needs=("A",)),
        Check("C", well, needs=("A", "B")),
        Check("D", well, needs=("C",)),
        Check("E", well),
    ]
    with Setup() as setup:
        found = {each.name: each for each in diagnose(checks, setup)}

    assert [each.verdict for each in found.values()] == [
        Verdict.OK,
        Verdict.FAILED,
        Verdict.SKIPPED,
        Verdict.SKIPPED,
        Verdict.OK,
    ]
    assert (found["B"].found, found["B"].remedy) == ("it is broken", "mend it")
    assert found["C"].found == "needs: B"


def test_what_the_set_up_does_without_is_no_failure() -> None:
    with Setup() as setup:
        (found,) = diagnose([Check("A", absent)], setup)

    assert (found.verdict, found.found) == (Verdict.SKIPPED, "not used")


def test_a_mistake_in_a_check_is_not_taken_for_a_finding() -> None:
    def wrong(_: Setup) -> str:
        raise KeyError("typo")

    with Setup() as setup, pytest.raises(KeyError):
        list(diagnose([Check("A", wrong)], setup))


def test_each_check_needs_only_earlier_ones() -> None:
    names = [check.name for check in CHECKS]

    assert len(set(names)) == len(names)
    for place, check in enumerate(CHECKS):
        assert set(check.needs) <= set(names[:place])
