"""From an image's header to the fields that need no pixels."""

from __future__ import annotations

from media_enricher.models import Findings
from media_enricher.probe.fields.labels import HDR
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata import icc, sources
from media_enricher.probe.metadata.values import NOTHING, Values
from media_enricher.probe.source import ProbeOptions

_TURNED_BY_EXIF = frozenset({"jpeg", "png", "webp"})

_BEYOND_WHITE = frozenset({16, 18})
"""The transfer of PQ and HLG, by their numbers in ITU-T H.273."""


def describe(header: ImageHeader, findings: Findings, options: ProbeOptions) -> None:
    """Fill in what the header says, its metadata blocks included.

    Raises:
        MoreBytesError: a value lies outside of the window, and may be asked for.
    """
    written = sources.read(
        header.blocks, options, container=_container(header), is_cut=header.is_cut
    )
    if header.has_unannounced and not written.has_content_credentials:
        written.has_content_credentials = None
    orientation = header.orientation or written.exif.orientation
    _fill_geometry(findings, header, orientation)
    if orientation is None and header.is_cut and header.format in _TURNED_BY_EXIF:
        findings.width = findings.height = None  # it may be turned, and the sides swapped
    if header.icc:
        findings.icc_profile = icc.description(header.icc)
    sources.fill(findings, written, options)
    if header.coded_colours and header.coded_colours[1] in _BEYOND_WHITE:
        findings.labels = sorted({*(findings.labels or ()), HDR})


def _container(header: ImageHeader) -> Values:
    """What the format's own texts say: those of PNG, the title of an SVG."""
    texts = header.texts
    if not texts:
        return NOTHING
    return Values(
        title=texts.get("title"),
        description=texts.get("description"),
        creators=[texts["author"]] if texts.get("author") else [],
        copyright=texts.get("copyright"),
    )


def _fill_geometry(findings: Findings, header: ImageHeader, orientation: int | None) -> None:
    findings.orientation = orientation
    findings.width, findings.height = header.displayed_size(orientation)
    findings.color_mode = header.mode
    findings.bit_depth = header.bit_depth
    findings.has_alpha = header.has_alpha
    findings.is_opaque = True if header.has_alpha is False else None
    findings.frame_count = header.frame_count
    findings.is_animated = header.is_animated
