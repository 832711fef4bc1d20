"""What `make trust` counts, and when it is content."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tests.trust.comparison import Comparison, Disagreement, Rule

pytestmark = pytest.mark.unit

_RULE = Rule("width", "The tool counts the border, too.", lambda each: each.theirs > each.ours)


def _said(ours: Any, theirs: Any, field: str = "width") -> Disagreement:
    return Disagreement("a.png", "png", field, ours, theirs, "tool", {})


def _shown(comparison: Comparison) -> str:
    written = io.StringIO()
    comparison.show(Console(file=written, width=120))
    return written.getvalue()


def test_what_no_rule_decides_counts_against_the_probe() -> None:
    comparison = Comparison("tool", {"width": 100.0}, (_RULE,), least=0)
    comparison.add(_said(3, 2), same=False)
    comparison.add(_said(2, 2), same=True)
    assert list(comparison.shortcomings()) == ["tool: width 50.00%, 100.0% is needed"]
    assert "a.png: probe 3, tool 2" in _shown(comparison)


def test_a_rule_decides_for_the_probe_and_says_why() -> None:
    comparison = Comparison("tool", {"width": 100.0}, (_RULE,), least=0)
    comparison.add(_said(2, 4), same=False)
    assert not list(comparison.shortcomings())
    assert _RULE.reason in _shown(comparison)


def test_files_that_say_nothing_do_not_raise_the_percentage() -> None:
    comparison = Comparison("tool", {"title": 99.5}, (), least=0)
    for _ in range(1000):
        comparison.add(_said(None, None, "title"), same=True)
    comparison.add(_said(None, "A title", "title"), same=False)
    assert list(comparison.shortcomings()) == ["tool: title 0.00%, 99.5% is needed"]


def test_too_few_files_are_said() -> None:
    comparison = Comparison("tool", {}, (), least=1500)
    assert list(comparison.shortcomings()) == [
        "tool: 0 files were compared, 1,500 are needed",
    ]
