"""A snapshot carries every field of the records, under the same name."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest

from media_enricher.models import MediaAsset, Outcome
from media_enricher.snapshot import schema


def test_every_field_of_the_records_is_a_column() -> None:
    asset = {field.name for field in msgspec.structs.fields(MediaAsset)}
    outcome = {field.name for field in msgspec.structs.fields(Outcome)} - {"asset"}

    assert set(schema.SCHEMA.names) == asset | outcome | {"run_id", "written_at"}
    assert len(schema.SCHEMA.names) == len(set(schema.SCHEMA.names))


def test_who_and_what_stand_first() -> None:
    assert schema.SCHEMA.names[:4] == ["run_id", "written_at", "bucket", "path"]


def test_times_are_in_utc_to_the_microsecond_and_texts_are_plain() -> None:
    columns = {field.name: field.type for field in schema.SCHEMA}

    assert columns["taken_at"] == columns["written_at"] == pa.timestamp("us", tz="UTC")
    assert columns["status"] == columns["error_code"] == columns["exif"] == pa.string()
    assert columns["palette"] == columns["tags"] == pa.list_(pa.string())
    assert columns["width"] == pa.int64()
    assert columns["is_opaque"] == pa.bool_()


def test_a_field_of_a_type_without_a_place_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"the field thumbnail: .*bytes"):
        schema._arrow_type("thumbnail", bytes | None)
