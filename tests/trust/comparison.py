"""What two sides say of many files, counted field by field and format by format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table


class Disagreement(msgspec.Struct, frozen=True):
    """One field of one file, of which the two sides say different things."""

    file: str
    format: str
    field: str
    ours: Any
    theirs: Any
    tool: str
    context: Mapping[str, Any]
    """All that the tool said of the file: rules look at it."""


class Rule(msgspec.Struct, frozen=True):
    """Decides for the probe, for a stated reason. What no rule decides counts against the probe."""

    field: str
    reason: str
    holds: Callable[[Disagreement], bool]

    def decides(self, difference: Disagreement) -> bool:
        """Whether this disagreement is of the kind that the rule knows."""
        return difference.field in self.field.split() and self.holds(difference)


class Count(msgspec.Struct):
    """How often the two sides said something, and how often the same."""

    compared: int = 0
    same: int = 0
    by_rule: int = 0

    @property
    def percent(self) -> float:
        """Of those compared: the same, or decided for the probe by a rule."""
        return 100 * (self.same + self.by_rule) / self.compared if self.compared else 100.0

    def add(self, other: Count) -> None:
        """Count those of `other`, too."""
        self.compared += other.compared
        self.same += other.same
        self.by_rule += other.by_rule


class Comparison:
    """Gathers what was compared with one kind of tool.

    Args:
        title: of the tables.
        needed: field -> the percentage that it must reach.
        rules: the first that decides a disagreement gives its reason.
        least: so many files must have been compared.
    """

    def __init__(
        self, title: str, needed: Mapping[str, float], rules: tuple[Rule, ...], *, least: int
    ) -> None:
        self.title = title
        self.files = 0
        self._needed = needed
        self._rules = rules
        self._least = least
        self._counts: dict[str, dict[str, Count]] = defaultdict(lambda: defaultdict(Count))
        self._decided: dict[Rule, list[Disagreement]] = defaultdict(list)
        self._open: list[Disagreement] = []

    def add(self, difference: Disagreement, *, same: bool) -> None:
        """Count what was said of one field of one file, where either side said something."""
        if difference.ours in (None, [], False) and difference.theirs in (None, [], False):
            return
        count = self._counts[difference.field][difference.format]
        count.compared += 1
        if same:
            count.same += 1
        elif rule := next((rule for rule in self._rules if rule.decides(difference)), None):
            count.by_rule += 1
            self._decided[rule].append(difference)
        else:
            self._open.append(difference)

    def shortcomings(self) -> Iterator[str]:
        """What is below what is needed."""
        if self.files < self._least:
            yield f"{self.title}: {self.files:,} files were compared, {self._least:,} are needed"
        for field, needed in self._needed.items():
            total = self._total(field)
            if total.percent < needed:
                yield f"{self.title}: {field} {total.percent:.2f}%, {needed}% is needed"

    def show(self, console: Console) -> None:
        """Print the table, then all disagreements: those a rule decides by rule, then the rest."""
        console.print(self._table())
        for rule, differences in self._decided.items():
            console.print(f"\nThe probe is right ({rule.field}): {rule.reason}", style="bold")
            self._list(console, differences)
        if self._open:
            console.print("\nNo rule decides for the probe:", style="bold")
            self._list(console, self._open)

    @staticmethod
    def _list(console: Console, differences: list[Disagreement]) -> None:
        for each in differences:
            line = f"  {each.field:13} {each.file}: probe {_short(each.ours)}, "
            console.print(
                f"{line}{each.tool} {_short(each.theirs)}", markup=False, highlight=False,
                soft_wrap=True,
            )  # fmt: skip

    def _total(self, field: str) -> Count:
        total = Count()
        for count in self._counts[field].values():
            total.add(count)
        return total

    def _table(self) -> Table:
        table = Table(title=f"{self.title}: {self.files:,} files")
        for name in ("field", "format"):
            table.add_column(name)
        for name in ("compared", "same", "right by rule", "%", "needed"):
            table.add_column(name, justify="right")
        for field, needed in self._needed.items():
            _add_row(table, field, "all", self._total(field), f"{needed}")
            for name, count in sorted(self._counts[field].items()):
                _add_row(table, "", name, count, "")
            table.add_section()
        return table


def _add_row(table: Table, field: str, name: str, count: Count, needed: str) -> None:
    numbers = (f"{number:,}" for number in (count.compared, count.same, count.by_rule))
    table.add_row(field, name, *numbers, f"{count.percent:.2f}", needed)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
