"""Records of task results that nobody without the key can forge. Pure functions of bytes.

Prefect runs what a stored record says: it unpickles a pickle, with whichever libraries the record
names. So a record is signed when it is written, for the very place it is written to, and read only
with a good signature. And it must be JSON even so: whoever holds the key of a Supabase project need
not be allowed to run code where it is enriched.
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
    """A whole record as Prefect writes it. Its older forms, without metadata, mean pickles."""

    metadata: _Metadata
    result: msgspec.Raw


_record = msgspec.json.Decoder(_Record)
_json_serializer = JSONSerializer().model_dump()


def signing_key(service_key: str) -> bytes:
    """The key that signs the records of a project, which does not give its service key away."""
    return hmac.digest(service_key.encode(), _PURPOSE, _DIGEST)


def seal(record: bytes, place: str, key: bytes) -> bytes:
    """A record as it is stored, under its signature.

    Args:
        record: as Prefect serializes it.
        place: the bucket and the path that it is written to.
        key: of `signing_key`.

    Raises:
        RefusedRecordError: it is no record, or not one in JSON.
    """
    _require_json(record)
    return _MARK + _signature(record, place, key) + b"\n" + record


def unseal(stored: bytes, place: str, key: bytes) -> bytes:
    """The record within what `seal` made.

    Args:
        stored: what stands at the place.
        place: the bucket and the path that it was read from.
        key: of `signing_key`.

    Raises:
        RefusedRecordError: it is not signed, was altered, moved, signed with another key, or is
            not in JSON.
    """
    head, _, record = stored.partition(b"\n")
    if not head.startswith(_MARK):
        raise RefusedRecordError("it is not signed")
    if not hmac.compare_digest(head.removeprefix(_MARK), _signature(record, place, key)):
        raise RefusedRecordError(
            "its signature is not that of these bytes at this place: it was altered, moved, or "
            "signed with another service key"
        )
    _require_json(record)
    return record


def _signature(record: bytes, place: str, key: bytes) -> bytes:
    # No path holds a NUL, so that no other pair of place and record gives the same message.
    message = place.encode() + b"\0" + record
    return hmac.digest(key, message, _DIGEST).hex().encode()


def _require_json(record: bytes) -> None:
    try:
        serializer = _record.decode(record).metadata.serializer
    except msgspec.DecodeError as error:
        raise RefusedRecordError(f"it is no record of a Prefect result in JSON: {error}") from None
    if serializer != _json_serializer:
        raise RefusedRecordError(
            f"its serializer must be Prefect's JSON as it comes, and is {serializer}; "
            "give the task result_serializer='json'"
        )
