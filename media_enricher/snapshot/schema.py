"""The columns of a snapshot, and the conversion of outcomes to an Arrow table.

The columns are derived from the records in `models`: a field that is added to `MediaAsset` or
`Outcome` becomes a column of the same name. A field of a type without an Arrow type raises
`TypeError` when this module is imported, so that it is found before a run starts.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from media_enricher.models import MediaAsset, Outcome

PARTITION_KEY = pa.dictionary(pa.int32(), pa.string())
"""The type that readers of hive-partitioned folders (pyarrow, pandas) give to a key of the path.

A column that is also a key must have the same type. Otherwise the folder cannot be read as a whole.
"""

_LEADING = {
    "run_id": PARTITION_KEY,
    "written_at": pa.timestamp("us", tz="UTC"),
}
"""Columns that describe the run and not one object."""

_IDENTITY = ("bucket", "path")
"""Fields of an asset that come first, because readers look at the first columns."""

_ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", tz="UTC"),
    list[str]: pa.list_(pa.string()),
    dict[str, Any]: pa.string(),  # as JSON
}


def _required_type(hint: Any) -> Any:
    """Return `int` for `int | None`."""
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


def _defaults(record: type[msgspec.Struct]) -> dict[str, Any]:
    """The defaults of fields, where they are not null. The encoder leaves such values out."""
    return {
        field.encode_name: field.default
        for field in msgspec.structs.fields(record)
        if field.default is not msgspec.NODEFAULT and field.default is not None
    }


def _asset_fields() -> dict[str, Any]:
    fields = _fields(MediaAsset)
    first = {name: fields.pop(name) for name in _IDENTITY}
    return first | fields


_ASSET_FIELDS = _asset_fields()
_OUTCOME_FIELDS = {name: hint for name, hint in _fields(Outcome).items() if name != "asset"}
_DEFAULTS = _defaults(MediaAsset) | _defaults(Outcome)

SCHEMA = pa.schema(
    list(_LEADING.items())
    + [(name, _arrow_type(name, hint)) for name, hint in _ASSET_FIELDS.items()]
    + [(name, _arrow_type(name, hint)) for name, hint in _OUTCOME_FIELDS.items()]
)
"""One row per object touched by a run."""

_UNIQUE = {"path", "etag", "previous_etag", "blurhash", "thumbhash", "phash", "sha256", "exif"}

REPETITIVE = [name for name in SCHEMA.names if name not in _UNIQUE]
"""Columns that get a dictionary in Parquet. For unique values it would cost time and space."""


def _read_as(fields: Iterable[str]) -> list[pa.Field]:
    """Fields of `SCHEMA` with the types that the JSON reader returns: it has no dictionaries."""
    plain = {PARTITION_KEY: pa.string()}
    return [
        pa.field(name, plain.get(SCHEMA.field(name).type, SCHEMA.field(name).type))
        for name in fields
    ]


_ROWS = pa.schema([("asset", pa.struct(_read_as(_ASSET_FIELDS))), *_read_as(_OUTCOME_FIELDS)])
_CONSTANTS = pa.schema(_read_as([*_LEADING, *_DEFAULTS]))


def to_table(outcomes: Sequence[Outcome], *, run_id: str, written_at: datetime) -> pa.Table:
    """Convert outcomes to an Arrow table of `SCHEMA`: one row per outcome, in their order.

    The conversion goes through JSON, because `pa.array` and `pa.scalar` import pandas. That takes
    half a second and 60 MB in a process that does not need pandas.

    Args:
        outcomes: at least one.
        run_id: the id of the Prefect flow run.
        written_at: when these outcomes were handed over to be written; with a time zone.
    """
    constant = msgspec.json.encode({"run_id": run_id, "written_at": written_at, **_DEFAULTS})
    constants = _read([constant] * len(outcomes), _CONSTANTS)
    rows = _read(
        [msgspec.json.encode(_with_exif_as_text(outcome)) for outcome in outcomes], _ROWS
    ).flatten()
    columns = {name: constants.column(name) for name in _LEADING}
    for name in rows.column_names:
        column, bare_name = rows.column(name), name.removeprefix("asset.")
        if bare_name in _DEFAULTS:  # msgspec leaves out values that equal their default
            column = pc.coalesce(column, constants.column(bare_name))
        columns[bare_name] = column
    return pa.table([columns[field.name].cast(field.type) for field in SCHEMA], schema=SCHEMA)


def _read(lines: list[bytes], schema: pa.Schema) -> pa.Table:
    text = b"\n".join(lines)
    return pj.read_json(
        pa.BufferReader(text),
        read_options=pj.ReadOptions(block_size=len(text) + 1),  # no row is cut in two
        parse_options=pj.ParseOptions(explicit_schema=schema),
    )


def _with_exif_as_text(outcome: Outcome) -> Outcome:
    """Encode `exif` as JSON text, because its keys differ from object to object."""
    if outcome.asset.exif is None:
        return outcome
    text: Any = msgspec.json.encode(outcome.asset.exif).decode()
    asset = msgspec.structs.replace(outcome.asset, exif=text)
    return msgspec.structs.replace(outcome, asset=asset)
