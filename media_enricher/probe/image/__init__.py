"""The image probe: one reader of headers for each format, one way from pixels to fields."""

from __future__ import annotations

from collections.abc import Callable

from media_enricher.models import AssetStatus, Findings, Kind
from media_enricher.probe.fields.from_picture import fill_from_picture
from media_enricher.probe.fields.labels import TRUNCATED
from media_enricher.probe.image import (
    cr3,
    gif,
    heif,
    heif_boxes,
    ico,
    jpeg,
    jxl,
    other,
    png,
    raw,
    sizes,
    svg,
    tiff,
    webp,
)
from media_enricher.probe.image.decoders import require_decoder
from media_enricher.probe.image.descriptions import describe
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.image.pixels import decode
from media_enricher.probe.reading import read_header, refuse
from media_enricher.probe.source import ProbeOptions, UnreadableError, Window

_Reader = Callable[[Window, ImageHeader], None]

_FORMATS: dict[str, tuple[str, _Reader]] = {
    "image/avif": ("avif", heif.read),
    "image/bmp": ("bmp", other.read),
    "image/gif": ("gif", gif.read),
    "image/heic": ("heic", heif.read),
    "image/heif": ("heif", heif.read),
    "image/icns": ("icns", other.read),
    "image/jp2": ("jpeg2000", other.read),
    "image/jpeg": ("jpeg", jpeg.read),
    "image/jxl": ("jxl", jxl.read),
    "image/png": ("png", png.read),
    "image/qoi": ("qoi", other.read),
    "image/svg+xml": ("svg", svg.read),
    "image/tiff": ("tiff", tiff.read),
    "image/vnd.adobe.photoshop": ("psd", other.read),
    "image/vnd.ms-dds": ("dds", other.read),
    "image/webp": ("webp", webp.read),
    "image/vnd.zbrush.pcx": ("pcx", other.read),
    "image/x-adobe-dng": ("dng", tiff.read),
    "image/x-canon-cr2": ("cr2", tiff.read),
    "image/x-canon-cr3": ("cr3", cr3.read),
    "image/x-epson-erf": ("erf", tiff.read),
    "image/x-exr": ("exr", sizes.read_exr),
    "image/x-fuji-raf": ("raf", raw.read_raf),
    "image/x-hasselblad-3fr": ("3fr", tiff.read),
    "image/x-icon": ("ico", ico.read),
    "image/x-kodak-kdc": ("kdc", tiff.read),
    "image/x-leaf-mos": ("mos", tiff.read),
    "image/x-mamiya-mef": ("mef", tiff.read),
    "image/x-nikon-nef": ("nef", tiff.read),
    "image/x-nikon-nrw": ("nrw", tiff.read),
    "image/x-olympus-orf": ("orf", tiff.read),
    "image/x-panasonic-rw2": ("rw2", tiff.read),
    "image/x-pentax-pef": ("pef", tiff.read),
    "image/x-phaseone-iiq": ("iiq", tiff.read),
    "image/x-portable-anymap": ("ppm", other.read),
    "image/x-portable-bitmap": ("ppm", other.read),
    "image/x-portable-graymap": ("ppm", other.read),
    "image/x-portable-pixmap": ("ppm", other.read),
    "image/x-samsung-srw": ("srw", tiff.read),
    "image/x-sony-arw": ("arw", tiff.read),
    "image/x-sony-sr2": ("sr2", tiff.read),
    "image/x-tga": ("tga", other.read),
    "image/x-win-cursor": ("cur", ico.read),
}
"""Content type -> the format's name and its reader. A format is added by a line here, and where
Pillow decodes it, one in `decoders`."""

_NOT_DRAWN = {"svg"}

DAMAGED = "damaged"
"""The warning of a picture that shows, and of which the file's own rules say that it is not what
was written."""

MAX_HEADER_BYTES = 8 * 1024 * 1024
"""The most that a header probe reads. What is not known by then stays unknown."""


def supports(content_type: str) -> bool:
    """Whether there is a reader for this type."""
    return content_type in _FORMATS


def probe_header(window: Window, content_type: str, options: ProbeOptions) -> Findings:
    """What the header gives.

    Raises:
        MoreBytesError: size or orientation lie further on.
    """
    findings, _ = _read(window, content_type, options)
    return findings


def probe_full(window: Window, content_type: str, options: ProbeOptions) -> Findings:
    """What the header and the pixels give; of an object that is not read whole, the header."""
    findings, header = _read(window, content_type, options)
    if findings.status is not AssetStatus.ENRICHED or not window.is_complete:
        return findings
    try:
        _check(window, header)
        if header.format not in _NOT_DRAWN:
            data, to_decode = window.data, header
            if header.preview is not None:
                data, to_decode = raw.preview_of(data, header)
            picture = decode(
                data,
                to_decode,
                orientation=None if header.is_turned_by_decoder else findings.orientation,
                max_pixels=options.max_pixels,
            )
            findings.is_opaque = picture.is_opaque
            fill_from_picture(findings, picture.image)
            header.is_damaged |= picture.is_damaged
            _warn(findings, header)
    except UnreadableError as unreadable:
        refuse(findings, unreadable)
    return findings


def _read(window: Window, content_type: str, options: ProbeOptions) -> tuple[Findings, ImageHeader]:
    name, reader = _FORMATS[content_type]
    header = ImageHeader(format=name)
    findings = Findings(
        status=AssetStatus.ENRICHED, kind=Kind.IMAGE, content_type=content_type, format=name
    )
    if read_header(reader, window, header, findings, MAX_HEADER_BYTES):
        header.is_cut = True
    describe(header, findings, options)
    _warn(findings, header)
    is_decoded = header.preview is None and name not in _NOT_DRAWN
    if findings.status is AssetStatus.ENRICHED and is_decoded:
        try:
            require_decoder(header.format)
        except UnreadableError as unreadable:
            refuse(findings, unreadable)
    if header.content_type:
        findings.content_type, findings.format = header.content_type, header.format
    return findings, header


def _warn(findings: Findings, header: ImageHeader) -> None:
    """Say what is wrong with a picture that shows."""
    if not (header.is_damaged or header.is_truncated):
        return
    if findings.status is AssetStatus.ENRICHED:
        found = {DAMAGED: header.is_damaged, TRUNCATED: header.is_truncated}
        findings.warnings = [warning for warning, is_so in found.items() if is_so]


def _check(window: Window, header: ImageHeader) -> None:
    """What decoders let pass."""
    if header.format == "png":
        png.check(window.data)
    elif header.format == "webp":
        webp.check(window, header)
    elif header.format in {"avif", "heic", "heif"}:
        heif_boxes.check(window)
    elif header.format == "svg":
        svg.check(window.data)
