"""The probe: bytes of an object in, its metadata out. Pure, thread-safe, and it never raises.

`probe_header` decodes no pixels and reads little; `probe_full` takes all there is. Either finds the
true type by the bytes (`sniff`) and hands over to the probe of that kind: a package beside this
module, named in `_PROBES`. A probe that needs more bytes than it was given says which
(`NeedRanges`). Files that can't be read end in a named `error_code` with whatever was found before.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Protocol

import msgspec

from media_enricher.models import (
    MOST_RANGE_BYTES,
    AssetStatus,
    Depth,
    ErrorCode,
    Findings,
    Kind,
)
from media_enricher.probe import av, document, image
from media_enricher.probe.content_types import (
    kind_of,
    normalised,
    promised_image_type,
)
from media_enricher.probe.fields.labels import label
from media_enricher.probe.image.memory import keep_blocks
from media_enricher.probe.sniff import identify
from media_enricher.probe.source import (
    Buffer,
    ByteRange,
    MoreBytesError,
    ProbeOptions,
    Window,
)

__all__ = [
    "MOST_RANGE_BYTES",
    "NeedRanges",
    "ProbeOptions",
    "first_range",
    "keep_blocks",
    "probe_full",
    "probe_header",
]

_LEAST_SNIFFED_BYTES = 512
_KIB = 1024
NOT_READ_WHOLE = "not-read-whole"
"""The warning of an object that is too large to be read whole: it has no hash."""

_FIRST_RANGES = {
    "image/jpeg": 64 * _KIB,  # EXIF with its thumbnail, ICC and XMP stand before the size
    "image/tiff": 64 * _KIB,
    "image/svg+xml": 16 * _KIB,
}
_FIRST_RANGE = 16 * _KIB

logger = logging.getLogger(__name__)


class NeedRanges(msgspec.Struct, frozen=True):
    """More bytes are needed: ask again with these as well, and with all that was given before."""

    ranges: list[ByteRange]


def first_range(path: str, declared_content_type: str | None) -> int:
    """How many bytes to read first in header depth: enough for most files of the promised type."""
    promised = promised_image_type(path, declared_content_type)
    return _FIRST_RANGES.get(promised or "", _FIRST_RANGE)


def probe_header(
    data: Buffer,
    *,
    size_bytes: int,
    path: str,
    declared_content_type: str | None,
    options: ProbeOptions,
    rest: Sequence[tuple[int, Buffer]] = (),
    limit: int | None = None,
) -> Findings | NeedRanges:
    """What a few bytes of an object say.

    Args:
        data: the first `len(data)` bytes.
        size_bytes: of the whole object.
        path: the object's name, of which only the extension matters.
        declared_content_type: as Storage has it.
        options: what to keep, and the limits.
        rest: parts further on that were asked for, as (start, bytes), in order.
        limit: the most bytes that may be asked for in all; each kind has a limit of its own, too.

    Returns:
        Findings, or the bytes that are needed to know size and orientation. With the whole object
        in hand it never asks.
    """
    window = Window(data, size_bytes, rest, limit)
    return _probe(window, Depth.HEADER, path, declared_content_type, options)


def probe_full(
    data: Buffer,
    *,
    path: str,
    declared_content_type: str | None,
    options: ProbeOptions,
    size_bytes: int | None = None,
    rest: Sequence[tuple[int, Buffer]] = (),
    limit: int | None = None,
) -> Findings | NeedRanges:
    """What all the bytes of an object say, the pixels of an image and the hash included.

    Args:
        data: all bytes; of an object that is too large to be read whole, the first.
        path: as for `probe_header`.
        declared_content_type: as for `probe_header`.
        options: as for `probe_header`.
        size_bytes: of the whole object, where `data` is not all of it.
        rest: as for `probe_header`.
        limit: as for `probe_header`.

    Returns:
        Findings, which say `not-read-whole` where that is so, or the bytes that are needed. With
        the whole object in hand it never asks.
    """
    window = Window(data, size_bytes, rest, limit)
    findings = _probe(window, Depth.FULL, path, declared_content_type, options)
    if isinstance(findings, NeedRanges):
        return findings
    if not window.is_complete:
        findings.warnings = sorted({*(findings.warnings or ()), NOT_READ_WHOLE})
    elif window.size:
        findings.sha256 = hashlib.sha256(data).hexdigest()
    return findings


class _Probe(Protocol):
    """The probe of a kind: a package beside this module."""

    def supports(self, content_type: str, /) -> bool:
        """Whether it reads this type."""

    def probe_header(self, window: Window, content_type: str, options: ProbeOptions, /) -> Findings:
        """What the header says. It may raise `MoreBytesError`."""

    def probe_full(self, window: Window, content_type: str, options: ProbeOptions, /) -> Findings:
        """What all of it says. It may raise `MoreBytesError` where the window is not complete."""


_PROBES: tuple[_Probe, ...] = (image, av, document)


def _probe(
    window: Window,
    depth: Depth,
    path: str,
    declared_content_type: str | None,
    options: ProbeOptions,
) -> Findings | NeedRanges:
    try:
        findings = _probe_kind(window, depth, path, declared_content_type, options)
    except MoreBytesError as more:
        return NeedRanges([more.wanted])
    except Exception as crash:
        # A mistake of ours must cost one row, not the batch it came in; the row tells of it.
        logger.exception("The probe crashed on %s", path)
        findings = Findings(
            status=AssetStatus.FAILED,
            error_code=ErrorCode.PROBE_CRASHED,
            error_message=f"The probe crashed with {type(crash).__name__}; please report this.",
        )
    label(findings, path, declared_content_type)
    return findings


def _probe_kind(
    window: Window,
    depth: Depth,
    path: str,
    declared_content_type: str | None,
    options: ProbeOptions,
) -> Findings:
    if not window.size:
        return Findings(
            status=AssetStatus.FAILED,
            error_code=ErrorCode.EMPTY,
            error_message="The object has no bytes.",
            kind=kind_of(normalised(declared_content_type)),
        )
    window.read(0, min(window.size, _LEAST_SNIFFED_BYTES))
    content_type = identify(window, path, declared_content_type)
    for probe in _PROBES:
        if content_type and probe.supports(content_type):
            read = probe.probe_header if depth is Depth.HEADER else probe.probe_full
            return read(window, content_type, options)
    return _without_probe(content_type, path, declared_content_type)


def _without_probe(
    content_type: str | None, path: str, declared_content_type: str | None
) -> Findings:
    """A type that has no probe yet, or that is not what it was said to be."""
    kind = kind_of(content_type)
    declared = normalised(declared_content_type)
    promised = promised_image_type(path, declared_content_type)
    is_honest = declared is not None and content_type == declared
    can_tell = content_type is not None or (promised is not None and image.supports(promised))
    if kind is not Kind.IMAGE and promised and not is_honest and can_tell:
        return Findings(
            status=AssetStatus.FAILED,
            error_code=ErrorCode.MISLABELLED,
            error_message=(
                f"Declared or named as {promised}, and by its bytes "
                f"{content_type or 'no image that is known'}."
            ),
            kind=kind,
            content_type=content_type,
        )
    known = content_type or (promised if promised else declared)
    return Findings(
        status=AssetStatus.UNSUPPORTED,
        error_code=ErrorCode.UNSUPPORTED_TYPE,
        error_message=f"There is no probe for {known or 'this type'} yet.",
        kind=kind_of(known),
        content_type=content_type,
    )
