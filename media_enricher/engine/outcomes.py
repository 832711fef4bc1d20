"""Outcomes: what was found or went wrong, together with the object it belongs to."""

from __future__ import annotations

import msgspec

from media_enricher.engine.messages import Effort, ProbeRequest, decode_outcome
from media_enricher.models import (
    ENRICHER_VERSION,
    AssetStatus,
    Depth,
    ErrorCode,
    Findings,
    MediaAsset,
    Outcome,
    StorageObject,
)


def crashed(message: str) -> Findings:
    """The findings for bytes that crashed a probe."""
    return Findings(
        status=AssetStatus.FAILED, error_code=ErrorCode.PROBE_CRASHED, error_message=message
    )


def outcome_of_findings(request: ProbeRequest, findings: Findings, effort: Effort) -> Outcome:
    """The outcome of an object that was read: its etag is that of the bytes."""
    source = request.object
    etag = (
        request.etag or source.etag
    )  # where a proxy drops etags, the object would be read again for ever
    size_bytes = source.size_bytes if request.size_bytes is None else request.size_bytes
    return Outcome(
        asset=MediaAsset(
            **msgspec.structs.asdict(findings),
            bucket=source.bucket,
            path=source.path,
            etag=etag,
            size_bytes=size_bytes,
            declared_content_type=source.declared_content_type or request.content_type,
            depth=request.depth,
            enricher_version=ENRICHER_VERSION,
        ),
        previous_etag=source.previous_etag,
        attempts=source.attempts + 1 if etag == source.etag else 1,
        bytes_read=effort.bytes_read,
        download_seconds=effort.download_seconds,
        probe_seconds=effort.probe_seconds,
    )


def outcome_received(source: StorageObject, depth: Depth, encoded: bytes | msgspec.Raw) -> Outcome:
    """Decode the outcome of a worker. What is no outcome becomes the outcome of a crash."""
    try:
        outcome = decode_outcome(encoded)
    except msgspec.DecodeError as error:
        message = f"the decoder returned an invalid record: {error}"
        return outcome_of_failure(source, depth, ErrorCode.PROBE_CRASHED, message)
    # A decoder that an attacker controls must not write about another object than its own.
    outcome.asset.bucket, outcome.asset.path = source.bucket, source.path
    return outcome


def outcome_of_failure(
    source: StorageObject, depth: Depth, code: ErrorCode, message: str, effort: Effort | None = None
) -> Outcome:
    """The outcome of an object that could not be read: its etag is that of the listing."""
    effort = effort or Effort()
    return Outcome(
        asset=MediaAsset(
            status=AssetStatus.FAILED,
            error_code=code,
            error_message=message,
            bucket=source.bucket,
            path=source.path,
            etag=source.etag,
            size_bytes=source.size_bytes,
            declared_content_type=source.declared_content_type,
            depth=depth,
            enricher_version=ENRICHER_VERSION,
        ),
        previous_etag=source.previous_etag,
        attempts=source.attempts + 1,
        bytes_read=effort.bytes_read,
        download_seconds=effort.download_seconds,
        probe_seconds=effort.probe_seconds,
    )
