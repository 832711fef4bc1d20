"""What the demo found, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from rich.markup import escape
from rich.table import Table

_COLUMNS = {"path": 20, "size": 11, "turned": 6, "camera": 10, "colour": 10, "blurhash": 10}
"""Each with the least of its width that tells something."""


def rows_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows of `media_assets` with metadata, one line each; colours are shown as such."""
    table = Table(
        title="Some rows of public.media_assets",
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
    )
    for column, least in _COLUMNS.items():
        table.add_column(column, no_wrap=True, min_width=least)
    for row in rows:
        color = row["dominant_color"]
        table.add_row(
            escape(_short(row["path"])),
            f"{row['width']} x {row['height']}" if row["width"] else "",
            str(row["orientation"]) if (row["orientation"] or 1) > 1 else "",
            escape((row["camera_model"] or "").strip()),
            f"[on {color}]  [/] {color}" if color else "",
            escape(row["blurhash"] or ""),
        )
    return table


def _short(path: str) -> str:
    """The path, with only the start of a tenant's id."""
    first, slash, rest = path.partition("/")
    try:
        UUID(first)
    except ValueError:
        return path
    return f"{first[:8]}…{slash}{rest}"
