"""From an image's header to the fields that need no pixels."""

from __future__ import annotations

from media_enricher.models import Findings
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata import exif, icc, iptc, xmp
from media_enricher.probe.metadata.texts import MAX_DESCRIPTION, MAX_TITLE, clean, distinct
from media_enricher.probe.source import ProbeOptions

_MAX_NAME = 200


def describe(header: ImageHeader, findings: Findings, options: ProbeOptions) -> None:
    """Fill in what the header says, its metadata blocks included."""
    camera = (
        exif.read(header.exif, tags=options.exif_tags, location=options.location)
        if header.exif is not None
        else exif.Exif()
    )
    _fill_geometry(findings, header, header.orientation or camera.orientation)
    if header.icc:
        findings.icc_profile = icc.description(header.icc)
    written = xmp.read(header.xmp) if header.xmp else xmp.Xmp()
    captioned = iptc.read(header.iptc) if header.iptc else iptc.Iptc()
    _fill_capture(findings, camera, written)
    _fill_texts(findings, header, camera, written, captioned)


def _fill_geometry(findings: Findings, header: ImageHeader, orientation: int | None) -> None:
    findings.orientation = orientation
    findings.width, findings.height = header.displayed_size(orientation)
    findings.color_mode = header.mode
    findings.bit_depth = header.bit_depth
    findings.has_alpha = header.has_alpha
    findings.is_opaque = True if header.has_alpha is False else None
    findings.frame_count = header.frame_count
    findings.is_animated = header.is_animated


def _fill_capture(findings: Findings, camera: exif.Exif, written: xmp.Xmp) -> None:
    findings.taken_at = camera.taken_at or (exif.moment(written.taken) if written.taken else None)
    findings.camera_make = _name(camera.camera_make)
    findings.camera_model = _name(camera.camera_model)
    findings.lens = _name(camera.lens or written.lens)
    findings.latitude, findings.longitude = camera.latitude, camera.longitude
    findings.exif = camera.tags or None


def _fill_texts(
    findings: Findings,
    header: ImageHeader,
    camera: exif.Exif,
    written: xmp.Xmp,
    captioned: iptc.Iptc,
) -> None:
    """Of several, what editors write today comes first: XMP, IPTC, EXIF, then PNG's texts."""
    findings.title = _first(MAX_TITLE, written.title, captioned.title, header.texts.get("title"))
    findings.description = _first(
        MAX_DESCRIPTION,
        written.description,
        captioned.description,
        camera.description,
        header.texts.get("description"),
    )
    findings.tags = distinct([*captioned.tags, *written.tags]) or None


def _first(limit: int, *candidates: str | None) -> str | None:
    cleaned = (clean(candidate, limit) for candidate in candidates if candidate)
    return next((text for text in cleaned if text), None)


def _name(text: str | None) -> str | None:
    return clean(text, _MAX_NAME) if text else None
