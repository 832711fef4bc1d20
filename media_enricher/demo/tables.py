"""What the demo found, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from rich.markup import escape
from rich.table import Table


def rows_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Rows of `media_assets` with metadata, one line each; colours are shown as such."""
    table = Table(
        title="Some rows of public.media_assets",
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
    )
    for column in ("path", "size", "turned", "camera", "colour", "blurhash"):
        table.add_column(column, no_wrap=True, min_width=len(column))
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
