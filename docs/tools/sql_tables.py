"""The tables that sql/schemas/ defines, read from its text: no database is needed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

SCHEMAS = Path(__file__).parents[2] / "sql" / "schemas"

_TABLE = re.compile(
    r"((?:^--[^\n]*\n)*)^create table (\S+) \(\n(.*?)^\);", re.MULTILINE | re.DOTALL
)
_COLUMN = re.compile(
    r"^  (?!constraint |primary key|--)(?P<name>\w+) (?P<type>.+?)"
    r"(?= not null| primary key| default| references| collate| generated|,|$| --)"
    r"(?P<rest>[^\n]*?)(?: -- (?P<comment>[^\n]*))?$",
    re.MULTILINE,
)
_CHOICES = re.compile(r"check\s*\((\w+) in \(([^)]*)\)\)")
_COMMENT = re.compile(
    r"^comment on (?:table|column) (\S+) is\s+('(?:[^']|'')*'(?:\s+'(?:[^']|'')*')*);", re.MULTILINE
)
_STRING = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    meaning: str
    """What its comment says; empty if it has none."""
    choices: tuple[str, ...]
    """The only values that it may have; none for any value."""


@dataclass(frozen=True)
class Table:
    """A table, by its name with the schema."""

    name: str
    meaning: str
    columns: dict[str, Column] = field(default_factory=dict)


def sql_tables(folder: Path = SCHEMAS) -> dict[str, Table]:
    """The tables by name, in the order of the files.

    What a table or a column means is said by `comment on`. Where there is none, a comment of the
    file counts: the one above the table, the one at the end of the column's line.
    """
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.sql")))
    comments = {name: _joined(strings) for name, strings in _COMMENT.findall(text)}
    return {
        name: Table(name, comments.get(name) or _above(above), _columns(name, body, comments))
        for above, name, body in _TABLE.findall(text)
    }


def _columns(table: str, body: str, comments: dict[str, str]) -> dict[str, Column]:
    choices = {name: tuple(_STRING.findall(values)) for name, values in _CHOICES.findall(body)}
    return {
        name: Column(
            name,
            found["type"],
            comments.get(f"{table}.{name}") or _sentence(found["comment"] or ""),
            choices.get(name, ()),
        )
        for found in _COLUMN.finditer(body)
        for name in [found["name"]]
    }


def _joined(strings: str) -> str:
    return "".join(_STRING.findall(strings)).replace("''", "'")


def _above(comment: str) -> str:
    """The text of the comment lines above a table."""
    return " ".join(line.removeprefix("--").strip() for line in comment.splitlines())


def _sentence(text: str) -> str:
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")
