"""`make bench-same`: does other code write the same table of the benchmark's files, row for row?

`write FILE` runs the flow over photographs and small images, in both depths, and keeps all rows of
media_assets, one line of JSON each. `compare BEFORE AFTER` says how two such files differ, and ends
with 1 if they do. Both must be written from the same folder of files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from media_enricher.models import Depth
from tests.bench import corpus
from tests.bench.contenders import Round, measure
from tests.bench.stage import Stage
from tests.corpora import KEPT

OF_THE_RUN = ("id", "object_id", "run_id", "enriched_at", "created_at", "updated_at")
"""Columns that differ each time, whatever the code: ids and times."""

Row = dict[str, Any]


def main() -> None:
    """Write a table, or compare two."""
    parser = argparse.ArgumentParser(prog="make bench-same", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    writing = commands.add_parser("write", help="run the flow, and keep its rows")
    writing.add_argument("file", type=Path)
    writing.add_argument("--photographs", type=int, default=600)
    writing.add_argument("--small", type=int, default=5_000)
    writing.add_argument("--folder", type=Path, default=KEPT / "bench", help="of the files")
    comparing = commands.add_parser("compare", help="say how two tables differ")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    asked = parser.parse_args()

    if asked.command == "write":
        rows = table_of(asked.folder, asked.photographs, asked.small)
        asked.file.write_text("".join(f"{json.dumps(row, sort_keys=True)}\n" for row in rows))
        sys.stdout.write(f"{len(rows):,} rows\n")
        return
    before, after = read(asked.before), read(asked.after)
    found = differences(before, after)
    sys.stdout.write(("\n".join(found) or f"the same: {len(before):,} rows") + "\n")
    sys.exit(1 if found else 0)


def table_of(folder: Path, photographs: int, small: int) -> list[Row]:
    """What the flow writes of so many photographs and small images, in both depths."""
    buckets = {
        "bench-photographs": corpus.photographs(folder / "photographs", photographs),
        "bench-small": corpus.small_images(folder / "small", small),
    }
    rows = []
    with Stage.set(folder) as stage:
        for bucket, paths in buckets.items():
            stage.upload(bucket, paths)
            for depth in (Depth.FULL, Depth.HEADER):
                measure(stage, "flow", Round(bucket=bucket, objects=len(paths), depth=depth))
                rows += rows_of(stage)
    return rows


def rows_of(stage: Stage) -> list[Row]:
    """All rows of media_assets, in the order of their paths, without what each run has anew."""
    found = stage.query(
        "select (to_jsonb(a) - $1::text[])::text as columns from public.media_assets a"
        ' order by bucket collate "C", path',
        list(OF_THE_RUN),
    )
    return [json.loads(row["columns"]) for row in found]


def read(file: Path) -> list[Row]:
    """The rows of a file that `write` made.

    Raises:
        ValueError: the file holds no row, so that comparing it would say nothing.
    """
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    if not rows:
        raise ValueError(f"{file} holds no row: write it again, `make bench-same ARGS='write …'`")
    return rows


def differences(before: Iterable[Row], after: Iterable[Row]) -> list[str]:
    """Rows that one table lacks, then each column that differs: how often, and one example."""
    old, new = _by_key(before), _by_key(after)
    lines = _lacking("missing", old.keys() - new.keys())
    lines += _lacking("added", new.keys() - old.keys())
    columns: dict[str, list[tuple[str, ...]]] = {}
    for key in sorted(old.keys() & new.keys()):
        for column in old[key].keys() | new[key].keys():
            # As text: to Python, 1, 1.0 and true are equal. A column that is absent is not null.
            if _shown(old[key], column) != _shown(new[key], column):
                columns.setdefault(column, []).append(key)
    for column, keys in sorted(columns.items()):
        first = keys[0]
        lines.append(
            f"{column}: {len(keys):,} rows differ, as {'/'.join(first)}:"
            f" {_shown(old[first], column)}, now {_shown(new[first], column)}"
        )
    return lines


def _by_key(rows: Iterable[Row]) -> dict[tuple[str, ...], Row]:
    return {(row["depth"], row["bucket"], row["path"]): row for row in rows}


def _lacking(what: str, keys: set[tuple[str, ...]]) -> list[str]:
    return [f"{what}: {len(keys):,} rows, as {'/'.join(min(keys))}"] if keys else []


def _shown(row: Row, column: str) -> str:
    return json.dumps(row[column], sort_keys=True) if column in row else "no such column"


if __name__ == "__main__":
    main()
