"""Records to write into snapshots: plain ones, and any that Hypothesis can think of."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
from hypothesis import strategies as st

from media_enricher.models import AssetStatus, Depth, ErrorCode, Kind, MediaAsset, Outcome
from media_enricher.snapshot.writer import SnapshotWriter

STARTED_AT = datetime(2026, 11, 23, 14, 5, 6, tzinfo=UTC)
RUN_ID = "6f1d3c52-8d0e-4f7c-9b61-3f0a2c7d9e10"


def outcome(path: str, **changes: Any) -> Outcome:
    """An enriched photograph, with `changes` to the asset or the outcome."""
    of_outcome = {field.name for field in msgspec.structs.fields(Outcome)}
    asset: dict[str, Any] = {
        "bucket": "photos",
        "path": path,
        "etag": f'"{path}"',
        "size_bytes": 1_000,
        "declared_content_type": "image/jpeg",
        "depth": Depth.FULL,
        "enricher_version": 1,
        "status": AssetStatus.ENRICHED,
        "kind": Kind.IMAGE,
        "content_type": "image/jpeg",
        "format": "jpeg",
        "width": 640,
        "height": 480,
    }
    asset |= {name: value for name, value in changes.items() if name not in of_outcome}
    rest = {name: value for name, value in changes.items() if name in of_outcome}
    return Outcome(
        asset=MediaAsset(**asset),
        **{"bytes_read": 1_000, "download_seconds": 0.02, "probe_seconds": 0.01} | rest,
    )


def failure(path: str, code: ErrorCode, message: str | None = None, **changes: Any) -> Outcome:
    """An object that could not be enriched."""
    return outcome(
        path,
        status=AssetStatus.FAILED,
        error_code=code,
        error_message=message,
        format=None,
        width=None,
        height=None,
        **changes,
    )


_text = st.text(max_size=30)
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _text,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
_by_type: dict[Any, st.SearchStrategy[Any]] = {
    types.NoneType: st.none(),
    str: _text,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    datetime: st.datetimes(
        min_value=datetime(1700, 1, 1), max_value=datetime(2250, 1, 1), timezones=st.just(UTC)
    ),
    list[str]: st.lists(_text, max_size=6),
    dict[str, Any]: st.dictionaries(_text, _json_values, max_size=4),
}


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if isinstance(hint, types.UnionType):
        members = typing.get_args(hint)
        return st.one_of(*(_values(member) for member in members))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    return _by_type[hint]


def _records(record: type[msgspec.Struct], **given: st.SearchStrategy[Any]) -> Any:
    fields = {
        field.name: _values(field.type)
        for field in msgspec.structs.fields(record)
        if field.name not in given
    }
    return st.builds(record, **fields, **given)


def outcomes() -> st.SearchStrategy[list[Outcome]]:
    """Outcomes of one bucket, each field with any value of its type, no path twice."""
    asset = _records(MediaAsset, bucket=st.just("photos"))
    return st.lists(
        _records(Outcome, asset=asset),
        min_size=1,
        max_size=5,
        unique_by=lambda outcome: outcome.asset.path,
    )


def add(writer: SnapshotWriter, outcomes: Sequence[Outcome]) -> str:
    """Write the next part after those that are there."""
    return add_as(writer.prepare(), writer, outcomes)


def add_as(number: int, writer: SnapshotWriter, outcomes: Sequence[Outcome]) -> str:
    """Write a part of this number, and publish it as if it were recorded."""
    writer.write(number, outcomes)
    writer.publish(number)
    return writer.address(number)
