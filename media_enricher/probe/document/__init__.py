"""The probe of documents: a reader for each family, and a picture of the first page."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

from media_enricher.models import AssetStatus, Findings, Kind
from media_enricher.probe import image
from media_enricher.probe.document import epub, office, old_office, opendocument, pdf
from media_enricher.probe.document.header import DocumentHeader
from media_enricher.probe.fields.from_picture import fill_from_picture
from media_enricher.probe.metadata.sources import fill_metadata
from media_enricher.probe.metadata.texts import clean
from media_enricher.probe.metadata.values import Values
from media_enricher.probe.reading import read_header
from media_enricher.probe.sniff import sniff
from media_enricher.probe.source import ProbeOptions, Window

MAX_HEADER_BYTES = 1_000_000
"""The most that a header probe reads. What is not known by then stays unknown."""
MAX_RANGE_BYTES = 15 * 1024 * 1024
"""The most that full depth reads of a file that is too large to be read whole."""
MAX_EXCERPT = 64 * 1024
"""Characters of `text_excerpt`."""

_Reader = Callable[[Window, DocumentHeader], None]

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_FORMATS: dict[str, tuple[str, _Reader]] = {
    "application/epub+zip": ("epub", epub.read),
    "application/msword": ("doc", old_office.read),
    "application/pdf": ("pdf", pdf.read),
    "application/vnd.ms-excel": ("xls", old_office.read),
    "application/vnd.ms-excel.sheet.macroenabled.12": ("xlsm", office.read),
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": ("pptm", office.read),
    "application/vnd.ms-powerpoint": ("ppt", old_office.read),
    "application/vnd.ms-word.document.macroenabled.12": ("docm", office.read),
    f"{_OPEN_DOCUMENT}graphics": ("odg", opendocument.read),
    f"{_OPEN_DOCUMENT}presentation": ("odp", opendocument.read),
    f"{_OPEN_DOCUMENT}spreadsheet": ("ods", opendocument.read),
    f"{_OPEN_DOCUMENT}text": ("odt", opendocument.read),
    f"{_OFFICE}presentationml.presentation": ("pptx", office.read),
    f"{_OFFICE}presentationml.slideshow": ("ppsx", office.read),
    f"{_OFFICE}presentationml.template": ("potx", office.read),
    f"{_OFFICE}spreadsheetml.sheet": ("xlsx", office.read),
    f"{_OFFICE}spreadsheetml.template": ("xltx", office.read),
    f"{_OFFICE}wordprocessingml.document": ("docx", office.read),
    f"{_OFFICE}wordprocessingml.template": ("dotx", office.read),
}
"""Content type -> the format's name and its reader. A format is added by a line here."""


_TINY_PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R"
    b"/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
    b"4 0 obj<</Length 32>>stream\nBT /F 9 Tf (preload \\344) Tj ET    \nendstream endobj\n"
    b"5 0 obj<</Type/Font/Subtype/TrueType/BaseFont/NotEmbedded>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)
_TINY_CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfile full-path="a.opf"/></container>'
)


def supports(content_type: str) -> bool:
    """Whether there is a reader for this type."""
    return content_type in _FORMATS


def probe_header(window: Window, content_type: str, options: ProbeOptions) -> Findings:
    """Pages, sizes and texts that the document states.

    Raises:
        MoreBytesError: they lie further on.
    """
    findings, _ = _read(window, content_type, options, DocumentHeader(), MAX_HEADER_BYTES)
    return findings


def probe_full(window: Window, content_type: str, options: ProbeOptions) -> Findings:
    """The same and a picture: the first page of a PDF, the cover of a book.

    Raises:
        MoreBytesError: of a file that is not read whole.
    """
    header = DocumentHeader(
        is_drawn=True,
        max_pixels=options.max_pixels,
        excerpt_length=MAX_EXCERPT if options.text_excerpt else 0,
    )
    findings, header = _read(window, content_type, options, header, MAX_RANGE_BYTES)
    if header.picture is not None:
        fill_from_picture(findings, header.picture)
    elif header.cover:
        _fill_from_cover(findings, header.cover, options)
    return findings


def preload(options: ProbeOptions) -> None:
    """Load PDFium with its fonts, and the parsers, for a process that then opens no file."""
    for data, content_type in (
        (_TINY_PDF, "application/pdf"),
        (_tiny_epub(), "application/epub+zip"),
    ):
        probe_full(Window(data), content_type, options)


def _tiny_epub() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("META-INF/container.xml", _TINY_CONTAINER)
        package.writestr("a.opf", "<package/>")
    return file.getvalue()


def _read(
    window: Window, content_type: str, options: ProbeOptions, header: DocumentHeader, most: int
) -> tuple[Findings, DocumentHeader]:
    name, reader = _FORMATS[content_type]
    findings = Findings(
        status=AssetStatus.ENRICHED, kind=Kind.DOCUMENT, content_type=content_type, format=name
    )
    is_cut = read_header(reader, window, header, findings, most)
    findings.page_count = header.page_count
    findings.page_width_points = header.page_width_points
    findings.page_height_points = header.page_height_points
    findings.is_encrypted = header.is_encrypted
    values = Values(
        title=header.title,
        description=header.description,
        tags=header.tags,
        creators=header.creators,
        copyright=header.copyright,
    )
    fill_metadata([], findings, options, container=values, is_cut=is_cut)
    if options.text_excerpt and header.text:
        findings.text_excerpt = clean(header.text, MAX_EXCERPT)
    return findings, header


def _fill_from_cover(findings: Findings, cover: bytes, options: ProbeOptions) -> None:
    """The placeholder of a picture within the file. What is wrong with it is not with the file."""
    content_type = sniff(cover[:4096])
    if content_type is None or not image.supports(content_type):
        return
    picture = image.probe_full(Window(cover), content_type, options)
    for name in ("dominant_color", "palette", "blurhash", "thumbhash", "phash"):
        setattr(findings, name, getattr(picture, name))
