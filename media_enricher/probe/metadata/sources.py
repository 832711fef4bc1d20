"""From the metadata blocks of a file to the fields that they fill, whatever the container.

Which source goes first is said in one place, `fill`. It follows the guidelines of the Metadata
Working Group (2.0, chapter 3) with one exception: of texts, EXIF's come last, because cameras write
texts there that nobody chose, and because EXIF's have no encoding.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from media_enricher.models import Findings
from media_enricher.probe.metadata import blocks, exif, iptc, xmp
from media_enricher.probe.metadata.blocks import Block
from media_enricher.probe.metadata.position import Position
from media_enricher.probe.metadata.texts import (
    MAX_ADDRESS,
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_TITLE,
    clean,
    distinct,
    is_default_description,
)
from media_enricher.probe.metadata.times import Moment
from media_enricher.probe.metadata.values import NOTHING, Values
from media_enricher.probe.source import ProbeOptions

_MADE_WITH_A_MODEL = frozenset(
    {"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"}
)
"""Terms of IPTC's Digital Source Type that say that a trained model made it, or a part of it. By
the vocabulary's definition of `compositeSynthetic`, at least one element of it is generative AI."""
_MOST_BLOCKS = 4
"""Of one sort that are read; files have one, or one for each of a few pictures."""


class Sources(msgspec.Struct):
    """What the sources of one file say."""

    exif: Values
    xmp: Values
    iptc: Values
    container: Values
    """The container's own fields: text chunks of a PNG, tags of an MP4."""
    is_iptc_newer: bool = False
    """A program that knows no XMP changed IPTC after XMP was written."""
    has_content_credentials: bool | None = False
    """None where that is not known."""
    is_cut: bool = False
    """Other sources may stand in parts of the file that are not held."""


def fill_metadata(
    found: Sequence[Block],
    findings: Findings,
    options: ProbeOptions,
    *,
    container: Values | None = None,
    is_cut: bool = False,
) -> None:
    """Read the metadata blocks of a file of any kind, and fill in what they say.

    Args:
        found: EXIF, XMP, IPTC, Photoshop's resources or C2PA's manifest, in the file's order.
        findings: where to put it.
        options: whether to keep positions, and which EXIF tags.
        container: what the container itself says.
        is_cut: whether metadata may lie in parts of the file that are not held.

    Raises:
        MoreBytesError: a block that is a window has values that may be asked for.
    """
    fill(findings, read(found, options, container=container, is_cut=is_cut), options)


def read(
    found: Sequence[Block],
    options: ProbeOptions,
    *,
    container: Values | None = None,
    is_cut: bool = False,
) -> Sources:
    """What the blocks say, source by source; of several of one sort, the first that says it."""
    by_kind = blocks.sort(found)
    return Sources(
        exif=_merged(
            exif.read(tiff, tags=options.exif_tags) for tiff in by_kind.exif[:_MOST_BLOCKS]
        ),
        xmp=_merged(xmp.read(packet) for packet in by_kind.xmp[:_MOST_BLOCKS]),
        iptc=_merged(iptc.read(block) for block in by_kind.iptc[:_MOST_BLOCKS]),
        container=container or NOTHING,
        is_iptc_newer=_is_changed(by_kind.iptc[:1], by_kind.iptc_digests[:1]),
        has_content_credentials=by_kind.has_content_credentials,
        is_cut=is_cut or by_kind.is_cut,
    )


def _is_changed(iptc_blocks: Sequence[bytes], digests: Sequence[bytes]) -> bool:
    """Whether IPTC has another digest than when the XMP was made from it."""
    current = [hashlib.md5(block, usedforsecurity=False).digest() for block in iptc_blocks]
    return bool(digests and current and digests != current)


def _merged(several: Iterable[Values]) -> Values:
    merged, *others = [*several] or [NOTHING]
    for values in others:
        merged.fill_from(values)
    if merged.description and is_default_description(merged.description):
        merged.description = None
    return merged


def fill(findings: Findings, sources: Sources, options: ProbeOptions) -> None:
    """Fill in each field from the first source that has it."""
    exif, xmp, iptc, container = sources.exif, sources.xmp, sources.iptc, sources.container
    edited = (iptc, xmp) if sources.is_iptc_newer else (xmp, iptc)
    device = _Order((exif, xmp, container), is_cut=sources.is_cut)
    dated = _Order((exif, iptc, xmp, container), is_cut=sources.is_cut)
    written = _Order((*edited, container, exif), is_cut=sources.is_cut)

    taken: Moment | None = dated.first("taken")
    if taken:
        findings.taken_at, findings.taken_at_offset = taken
    findings.camera_make = device.text("camera_make", MAX_NAME)
    findings.camera_model = device.text("camera_model", MAX_NAME)
    findings.lens = device.text("lens", MAX_NAME)
    findings.exif = exif.exif or None
    if exif.labels or xmp.labels:
        findings.labels = sorted({*(findings.labels or ()), *exif.labels, *xmp.labels})
    position: Position | None = device.first("position")
    findings.has_location = True if position else device.absent
    if position and options.location:
        findings.latitude, findings.longitude = position

    findings.title = written.text("title", MAX_TITLE)
    findings.description = written.text("description", MAX_DESCRIPTION)
    findings.tags = _tags(written, xmp, iptc)
    findings.creator = clean("; ".join(distinct(written.first("creators") or [])), MAX_TITLE)
    findings.copyright = written.text("copyright", MAX_DESCRIPTION)
    findings.license_url = written.text("license_url", MAX_ADDRESS)
    findings.alt_text = written.text("alt_text", MAX_DESCRIPTION)
    findings.rating = written.first("rating")
    has_manifest = sources.has_content_credentials
    findings.has_content_credentials = written.absent if has_manifest is False else has_manifest
    term = written.text("digital_source_type", MAX_ADDRESS)
    if term:
        findings.digital_source_type = re.split(r"[/:#]", term.rstrip("/"))[-1] or None
        findings.is_ai_generated = findings.digital_source_type in _MADE_WITH_A_MODEL


class _Order:
    """Sources, the best first.

    Where a better source may stand in a part of the file that is not held, a field stays unknown: a
    poorer source would be a guess.
    """

    def __init__(self, sources: tuple[Values, ...], *, is_cut: bool) -> None:
        self._sources: list[Values] = []
        self.absent: bool | None = False
        """What to say of something that was not found: no, or unknown."""
        for values in sources:
            if values is not NOTHING:
                self._sources.append(values)
            if is_cut or values.is_cut:
                self.absent = None
                break

    def first(self, name: str) -> Any:
        """The first value of this name that there is."""
        for values in self._sources:
            value = getattr(values, name)
            if value is not None and value != []:
                return value
        return None

    def text(self, name: str, limit: int) -> str | None:
        """The first text of this name with anything in it, at most `limit` characters."""
        for values in self._sources:
            written = getattr(values, name)
            if written and (text := clean(written, limit)):
                return text
        return None


def _tags(written: _Order, xmp: Values, iptc: Values) -> list[str] | None:
    """Keywords of IPTC and XMP together; only without them the container's, or Windows'."""
    if written.absent is None:
        return None
    tags = distinct([*iptc.tags, *xmp.tags])
    return tags or distinct(written.first("tags") or []) or None
