"""The columns of a snapshot, derived from the records in `models`, and rows turned into them.

A field that is added to `MediaAsset` or `Outcome` becomes a column of the same name by itself; a
type that has no place here raises when this module is imported, not when a run is under way.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from media_enricher.models import MediaAsset, Outcome

PARTITION_KEY = pa.dictionary(pa.int32(), pa.string())
"""What readers of hive-partitioned folders (pyarrow, pandas) take a key of the path for. Columns
that are also keys have to be of the same type, or such a folder can't be read in one go."""

_LEADING = {
    "run_id": PARTITION_KEY,
    "written_at": pa.timestamp("us", tz="UTC"),
}
"""Columns that are about the run and not about one object."""

_IDENTITY = ("bucket", "path")
"""Fields of an asset that stand before the others, for whoever looks at the first columns."""

_ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", tz="UTC"),
    list[str]: pa.list_(pa.string()),
    dict[str, Any]: pa.string(),  # as JSON: its keys differ from object to object
}


def _required_type(hint: Any) -> Any:
    """`int` of `int | None`."""
    if isinstance(hint, types.UnionType):
        (required,) = (member for member in typing.get_args(hint) if member is not types.NoneType)
        return required
    return hint


def _arrow_type(name: str, hint: Any) -> pa.DataType:
    required = _required_type(hint)
    if name == "bucket":
        return PARTITION_KEY
    if isinstance(required, type) and issubclass(required, StrEnum):
        return pa.string()  # Parquet stores repeated strings once by itself
    try:
        return _ARROW_TYPES[required]
    except KeyError:
        raise TypeError(f"no Arrow type is chosen for the field {name}: {hint}") from None


def _fields(record: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(record)}


def _asset_fields() -> dict[str, Any]:
    fields = _fields(MediaAsset)
    first = {name: fields.pop(name) for name in _IDENTITY}
    return first | fields


_ASSET_FIELDS = _asset_fields()
_OUTCOME_FIELDS = {name: hint for name, hint in _fields(Outcome).items() if name != "asset"}
_JSON_COLUMNS = frozenset(
    name for name, hint in _ASSET_FIELDS.items() if _required_type(hint) == dict[str, Any]
)

SCHEMA = pa.schema(
    list(_LEADING.items())
    + [(name, _arrow_type(name, hint)) for name, hint in _ASSET_FIELDS.items()]
    + [(name, _arrow_type(name, hint)) for name, hint in _OUTCOME_FIELDS.items()]
)
"""One row per object touched by a run."""

_UNIQUE = {"path", "etag", "previous_etag", "blurhash", "thumbhash", "phash", "sha256", "exif"}

REPETITIVE = [name for name in SCHEMA.names if name not in _UNIQUE]
"""Columns worth a dictionary in Parquet; one of values that never recur costs time and space."""

_asset_values = attrgetter(*_ASSET_FIELDS)
_outcome_values = attrgetter(*_OUTCOME_FIELDS)


def to_table(outcomes: Sequence[Outcome], *, run_id: str, written_at: datetime) -> pa.Table:
    """Outcomes as an Arrow table of `SCHEMA`, one row each, in their order.

    Args:
        outcomes: what was found and what it took; one at least.
        run_id: the Prefect flow run id.
        written_at: aware; when these outcomes were handed over to be written.
    """
    columns = {
        "run_id": pa.repeat(pa.scalar(run_id), len(outcomes)).dictionary_encode(),
        "written_at": pa.repeat(pa.scalar(written_at), len(outcomes)),
        **_columns(_ASSET_FIELDS, (_asset_values(outcome.asset) for outcome in outcomes)),
        **_columns(_OUTCOME_FIELDS, map(_outcome_values, outcomes)),
    }
    for name in _JSON_COLUMNS:
        columns[name] = [None if value is None else _json(value) for value in columns[name]]
    return pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _columns(names: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, Sequence[Any]]:
    """Rows, of which there is one at least, turned into columns."""
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
