"""Signed records: only what was sealed for a place is unsealed there, and only JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect._internal.result_records import ResultRecord, ResultRecordMetadata
from prefect.serializers import (
    CompressedJSONSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
)

from media_enricher.blocks import records
from media_enricher.blocks.records import RefusedRecordError, seal, signing_key, unseal

KEY = signing_key("sb_secret_of_a_project")
PLACE = "results/tasks/0123abcd"


def record(serializer: Serializer[Any] | None = None, result: Any = "found") -> bytes:
    """A record as Prefect stores it."""
    metadata = ResultRecordMetadata(serializer=serializer or JSONSerializer(), storage_key="0123")
    return ResultRecord(result=result, metadata=metadata).serialize()


def sealed(content: bytes) -> bytes:
    """Content under a good signature, whatever it is: made by someone who has the key."""
    signature = records._signature(content, PLACE, KEY)
    return records._MARK + signature + b"\n" + content


RECORD = record()
SEALED = seal(RECORD, PLACE, KEY)


def test_what_was_sealed_is_unsealed_and_prefect_reads_it() -> None:
    stored = seal(record(result={"a": [1, "ä\n"]}), PLACE, KEY)
    assert ResultRecord.deserialize(unseal(stored, PLACE, KEY)).result == {"a": [1, "ä\n"]}


@given(at=st.integers(0, len(SEALED) - 1), flip=st.integers(1, 255))
def test_any_altered_byte_is_refused(at: int, flip: int) -> None:
    altered = bytearray(SEALED)
    altered[at] ^= flip
    with pytest.raises(RefusedRecordError):
        unseal(bytes(altered), PLACE, KEY)


@given(length=st.integers(0, len(SEALED) - 1))
def test_a_cut_record_is_refused(length: int) -> None:
    with pytest.raises(RefusedRecordError):
        unseal(SEALED[:length], PLACE, KEY)


@pytest.mark.parametrize(
    "place", ["results/tasks/4567", "results/0123abcd", "other/tasks/0123abcd", ""]
)
def test_a_record_is_good_at_its_place_alone(place: str) -> None:
    with pytest.raises(RefusedRecordError, match="altered, moved"):
        unseal(SEALED, place, KEY)


def test_another_key_signs_otherwise_and_none_gives_the_service_key_away() -> None:
    with pytest.raises(RefusedRecordError, match="another service key"):
        unseal(SEALED, PLACE, signing_key("sb_secret_of_another"))
    assert b"sb_secret" not in KEY + SEALED


def test_what_is_not_signed_is_refused() -> None:
    for stored in (RECORD, b"", b"\n" + RECORD, b'{"result": 1}'):
        with pytest.raises(RefusedRecordError, match="it is not signed"):
            unseal(stored, PLACE, KEY)


PICKLE = base64.b64encode(b"cos\nsystem\n(S'false'\ntR.").decode()
PLAIN = JSONSerializer().model_dump()


@pytest.mark.parametrize(
    "content",
    [
        record(PickleSerializer()),
        record(CompressedJSONSerializer()),
        record(JSONSerializer(jsonlib="orjson")),
        record(JSONSerializer(object_decoder="os.system")),
        b'{"result": "%s"}' % PICKLE.encode(),
        json.dumps({"data": PICKLE}).encode(),
        json.dumps({"metadata": {}, "result": PICKLE}).encode(),
        json.dumps({"metadata": {"serializer": PLAIN}, "data": PICKLE}).encode(),
        json.dumps(
            {"metadata": {"serializer": PLAIN}, "result": "", "serializer": {"type": "pickle"}}
        ).encode(),
        json.dumps({"metadata": {"serializer": {"type": "json"}}, "result": ""}).encode(),
        json.dumps({"serializer": PLAIN, "storage_key": "0123"}).encode(),
        json.dumps(PICKLE).encode(),
        PICKLE.encode(),
        b"",
        b"\x80\x04N.",
    ],
)
def test_what_is_no_plain_json_record_is_neither_written_nor_read(content: bytes) -> None:
    with pytest.raises(RefusedRecordError):
        seal(content, PLACE, KEY)
    with pytest.raises(RefusedRecordError):
        unseal(sealed(content), PLACE, KEY)
