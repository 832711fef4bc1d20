"""Summarise a snapshot: formats, failures by reason, duplicates and look-alikes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from media_enricher.snapshot.near_duplicates import group_similar
from media_enricher.snapshot.reader import Snapshot

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_DISTANCE = 6
"""Bits of 64. Copies in another size or quality stay below; unrelated photographs are 20 and more
apart."""

EXAMPLES = 10
"""How many groups of duplicates a summary names; the snapshot itself has them all."""


class FormatCount(msgspec.Struct, frozen=True):
    """The enriched objects of one format."""

    format: str
    objects: int
    size_bytes: int


class Reason(msgspec.Struct, frozen=True):
    """Why objects have no metadata, with the first of them as an example."""

    status: str
    error_code: str
    objects: int
    example_path: str
    example_message: str | None


class DuplicateGroup(msgspec.Struct, frozen=True):
    """Objects that are, or look, the same."""

    paths: list[str]
    wasted_bytes: int
    """The bytes that keeping only one would save: for lookalikes, the largest one."""


class Duplicates(msgspec.Struct, frozen=True):
    """The totals of all groups, and the groups that waste the most."""

    groups: int
    objects: int
    """All members of the groups, including the one to keep."""
    wasted_bytes: int
    worst: list[DuplicateGroup]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run. Times in seconds, sizes in bytes."""

    run_id: str
    bucket: str
    address: str
    parts: int
    started_at: datetime
    last_written_at: datetime
    elapsed_seconds: float
    """From the start of the run to its last part."""
    objects: int
    objects_per_second: float
    size_bytes: int
    """The size of all objects."""
    bytes_read: int
    """Read over the network, which is far less in header depth."""
    median_download_seconds: float
    median_probe_seconds: float
    statuses: dict[str, int]
    replaced: int
    """Objects whose row described other bytes before this run."""
    formats: list[FormatCount]
    reasons: list[Reason]
    duplicates: Duplicates
    """By sha256, which is known only in full depth."""
    near_distance: int
    near_duplicates: Duplicates
    """By perceptual hash, at most `near_distance` bits apart from one member to the next; groups of
    exact copies alone are not counted again."""


def summarise(snapshot: Snapshot, *, near_distance: int = DEFAULT_DISTANCE) -> Summary:
    """Summarise a snapshot.

    Args:
        snapshot: the snapshot of one run.
        near_distance: 0 to 15, the maximum number of bits in which the perceptual hashes of
            lookalikes differ.

    Raises:
        ValueError: near_distance is out of its range.
    """
    rows = snapshot.frame()
    last_written_at = rows["written_at"].max().to_pydatetime()
    elapsed = (last_written_at - snapshot.started_at).total_seconds()
    return Summary(
        run_id=str(rows["run_id"].iloc[0]),
        bucket=str(rows["bucket"].iloc[0]),
        address=snapshot.address,
        parts=len(snapshot.parts),
        started_at=snapshot.started_at,
        last_written_at=last_written_at,
        elapsed_seconds=elapsed,
        objects=len(rows),
        objects_per_second=len(rows) / elapsed if elapsed > 0 else 0.0,
        size_bytes=int(rows["size_bytes"].sum()),
        bytes_read=int(rows["bytes_read"].sum()),
        median_download_seconds=float(rows["download_seconds"].median()),
        median_probe_seconds=float(rows["probe_seconds"].median()),
        statuses={str(status): int(n) for status, n in rows["status"].value_counts().items()},
        replaced=_replaced(rows),
        formats=_formats(rows),
        reasons=_reasons(rows),
        duplicates=_exact(rows),
        near_distance=near_distance,
        near_duplicates=_near(rows, near_distance),
    )


def _replaced(rows: pd.DataFrame) -> int:
    both = rows[["previous_etag", "etag"]].dropna()
    return int((both["previous_etag"] != both["etag"]).sum())


def _formats(rows: pd.DataFrame) -> list[FormatCount]:
    enriched = rows[rows["status"] == "enriched"]
    names = enriched["format"].fillna(enriched["content_type"]).fillna("unknown")
    counted = enriched.groupby(names)["size_bytes"].agg(["size", "sum"])
    counted = counted.sort_values(["size", "sum"], ascending=False)
    return [
        FormatCount(str(name), int(objects), int(size_bytes))
        for name, objects, size_bytes in counted.itertuples()
    ]


def _reasons(rows: pd.DataFrame) -> list[Reason]:
    reasons = rows[rows["error_code"].notna()].groupby(["status", "error_code"])
    found = [
        Reason(str(status), str(code), len(alike), *_example(alike))
        for (status, code), alike in reasons
    ]
    return sorted(found, key=lambda reason: -reason.objects)


def _example(alike: pd.DataFrame) -> tuple[str, str | None]:
    """The path and the message of the first object."""
    path, message = alike[["path", "error_message"]].iloc[0]
    return str(path), message if isinstance(message, str) else None


def _exact(rows: pd.DataFrame) -> Duplicates:
    hashed = rows[rows["sha256"].notna()]
    return _duplicates(hashed[hashed.duplicated("sha256", keep=False)], "sha256")


def _near(rows: pd.DataFrame, distance: int) -> Duplicates:
    # A film looks like a photograph that it shows, and is no copy of it.
    hashed = rows[rows["phash"].notna() & (rows["kind"] == "image")]
    hashes = np.array([int(digits, 16) for digits in hashed["phash"]], dtype=np.uint64)
    hashed = hashed.assign(
        group=group_similar(hashes, distance), content=hashed["sha256"].fillna(hashed["path"])
    )
    contents = hashed.groupby("group")["content"].transform("nunique")
    return _duplicates(hashed[contents > 1], "group")


def _duplicates(members: pd.DataFrame, by: str) -> Duplicates:
    """The groups of rows with the same value of `by`; each has at least two members."""
    sizes = members.assign(size_bytes=members["size_bytes"].fillna(0)).groupby(by)["size_bytes"]
    wasted_bytes = (sizes.sum() - sizes.max()).sort_values(ascending=False, kind="stable")
    return Duplicates(
        groups=len(wasted_bytes),
        objects=len(members),
        wasted_bytes=int(wasted_bytes.sum()),
        worst=[
            DuplicateGroup(members.loc[members[by] == group, "path"].tolist(), int(wasted))
            for group, wasted in wasted_bytes.head(EXAMPLES).items()
        ],
    )
