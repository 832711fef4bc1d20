"""Signed records of task results, which nobody can forge without the key. Pure functions of bytes.

Prefect trusts a stored record: if it says that it is a pickle, Prefect unpickles it, which can run
any code. So a record is signed for the place that it is written to, and read only with a valid
signature. It must also be JSON: the key of a Supabase project must not be enough to run code where
its objects are processed.
"""

from __future__ import annotations

import hmac
from typing import Any

import msgspec
from prefect.serializers import JSONSerializer

_MARK = b"media-enricher signed record 1: "
_PURPOSE = b"media-enricher: signing of stored results, version 1"
_DIGEST = "sha256"


class RefusedRecordError(ValueError):
    """A record that must not be read or written. The message says why."""


class _Metadata(msgspec.Struct):
    serializer: dict[str, Any]


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    """A record as Prefect writes it. Older forms, without metadata, are pickles."""

    metadata: _Metadata
    result: msgspec.Raw


_record = msgspec.json.Decoder(_Record)
_json_serializer = JSONSerializer().model_dump()


def signing_key(service_key: str) -> bytes:
    """The key that signs the records of a project. It does not reveal the service key."""
    return hmac.digest(service_key.encode(), _PURPOSE, _DIGEST)


def seal(record: bytes, place: str, key: bytes) -> bytes:
    """Sign a record for storage.

    Args:
        record: the record as Prefect serializes it.
        place: the bucket and the path that it is written to.
        key: the key from `signing_key`.

    Raises:
        RefusedRecordError: it is not a record of a Prefect result in JSON.
    """
    _require_json(record)
    return _MARK + _signature(record, place, key) + b"\n" + record


def unseal(stored: bytes, place: str, key: bytes) -> bytes:
    """Check a record that `seal` signed, and return it.

    Args:
        stored: the stored bytes.
        place: the bucket and the path that they were read from.
        key: the key from `signing_key`.

    Raises:
        RefusedRecordError: it is unsigned, altered, moved, signed with another key, or not JSON.
    """
    head, _, record = stored.partition(b"\n")
    if not head.startswith(_MARK):
        raise RefusedRecordError("it is not signed")
    if not hmac.compare_digest(head.removeprefix(_MARK), _signature(record, place, key)):
        raise RefusedRecordError(
            "its signature does not match: it was altered, moved, or signed with another service "
            "key"
        )
    _require_json(record)
    return record


def _signature(record: bytes, place: str, key: bytes) -> bytes:
    # Paths contain no NUL, so each pair of place and record gives a different message.
    message = place.encode() + b"\0" + record
    return hmac.digest(key, message, _DIGEST).hex().encode()


def _require_json(record: bytes) -> None:
    try:
        serializer = _record.decode(record).metadata.serializer
    except msgspec.DecodeError as error:
        raise RefusedRecordError(
            f"it is not a record of a Prefect result in JSON: {error}"
        ) from None
    if serializer != _json_serializer:
        raise RefusedRecordError(
            f"its serializer is {serializer}, but must be Prefect's plain JSON serializer; "
            "set result_serializer='json' on the task"
        )
