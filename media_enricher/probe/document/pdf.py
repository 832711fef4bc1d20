"""PDF (ISO 32000) by PDFium: pages, size, texts, and the first page drawn.

PDFium is not thread-safe; each decoder process has it for itself. It reads through a file of ours,
which says what ranges it lacks.
"""

from __future__ import annotations

import ctypes
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from media_enricher.models import ErrorCode
from media_enricher.probe.document.header import DocumentHeader
from media_enricher.probe.document.office import split
from media_enricher.probe.source import MoreBytesError, UnreadableError, Window

try:
    import pypdfium2 as pdfium
    from pypdfium2 import internal, raw
except ImportError:
    IS_INSTALLED = False
else:
    IS_INSTALLED = True

_SIDE = 256
"""Pixels of the longer side of the page that is drawn."""
_DRAWING_SECONDS = 4.0
_TEXT_SECONDS = 1.0
_MAX_TEXT_PAGES = 200
_MAX_POINTS = 1_000_000.0
_TAIL = 1024
_TEXTS = ("Title", "Subject", "Keywords", "Author")
_BAD_PASSWORD, _UNKNOWN_SECURITY = 4, 5
"""Of FPDF_GetLastError."""


class _RangeFile(io.RawIOBase):
    """The window as a file for PDFium, whose callbacks may not raise: it reads no further then."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at = 0
        self.missing: MoreBytesError | None = None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset if whence == io.SEEK_SET else self._window.size + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._window.size - self._at)
        if self.missing is not None or length <= 0:
            return 0
        try:
            data = self._window.read(self._at, length)
        except MoreBytesError as more:
            self.missing = more
            return 0
        ctypes.memmove(buffer, data, length)
        self._at += length
        return length


def read(window: Window, header: DocumentHeader) -> None:
    """Fill in what the document says, and where asked for its first page and the start of its text.

    Raises:
        MoreBytesError: PDFium needs bytes that are not held.
        UnreadableError: truncated or corrupt, too many pixels to draw, or PDFium is not installed.
    """
    if not IS_INSTALLED:
        raise UnreadableError(
            ErrorCode.UNSUPPORTED_TYPE,
            "Reading this type needs the extra pdf, which is missing.",
        )
    file = _RangeFile(window)
    try:
        with _opened(file) as document:
            _describe(document, file, header)
            if header.is_drawn:
                _draw(document, header)
                _require(file)
                header.text = _text(document, header.excerpt_length)
                _require(file)
    except pdfium.PdfiumError as error:
        _require(file)
        if getattr(error, "err_code", None) not in {_BAD_PASSWORD, _UNKNOWN_SECURITY}:
            raise _damaged(window, header.page_count) from error
        header.is_encrypted = True


@contextmanager
def _opened(file: _RangeFile) -> Iterator[Any]:
    document = pdfium.PdfDocument(file)
    try:
        yield document
    finally:
        document.close()


def _require(file: _RangeFile) -> None:
    if file.missing is not None:
        raise file.missing


def _damaged(window: Window, page_count: int | None) -> UnreadableError:
    tail = window.peek(max(0, window.size - _TAIL), min(_TAIL, window.size)) or b""
    if b"%%EOF" not in tail:
        return UnreadableError(
            ErrorCode.TRUNCATED, f"The PDF ends at byte {window.size:,}, without its end (%%EOF)."
        )
    what = "no page in the PDF" if page_count is None else "nothing to show on its first page"
    return UnreadableError(ErrorCode.CORRUPT, f"PDFium finds {what}; it is damaged.")


def _describe(document: Any, file: _RangeFile, header: DocumentHeader) -> None:
    """Fill in what needs no drawing.

    Raises:
        MoreBytesError: PDFium needs bytes that are not held.
        pdfium.PdfiumError: the first page can't be found.
    """
    pages = len(document)
    _require(file)  # what PDFium says after it missed bytes may be a guess
    header.page_count, header.is_encrypted = pages, False
    texts = {key: document.get_metadata_value(key) for key in _TEXTS}
    _require(file)
    header.title, header.description = texts["Title"], texts["Subject"]
    header.tags = split(texts["Keywords"])
    header.creators = [texts["Author"]] if texts["Author"] else []
    width, height = document.get_page_size(0)
    _require(file)
    if 0 < width <= _MAX_POINTS and 0 < height <= _MAX_POINTS:
        header.page_width_points, header.page_height_points = round(width, 2), round(height, 2)


def _draw(document: Any, header: DocumentHeader) -> None:
    """Draw the first page on white.

    Raises:
        UnreadableError: its pictures have too many pixels, or drawing takes too long.
    """
    if header.page_width_points is None or header.page_height_points is None:
        return
    page = document[0]
    _require_few_pixels(page, header.max_pixels)
    scale = _SIDE / max(header.page_width_points, header.page_height_points)
    width = max(round(header.page_width_points * scale), 1)
    height = max(round(header.page_height_points * scale), 1)
    bitmap = pdfium.PdfBitmap.new_native(width, height, raw.FPDFBitmap_BGRx)
    bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
    deadline = time.process_time() + _DRAWING_SECONDS
    pause = raw.IFSDK_PAUSE(version=1)
    internal.set_callback(pause, "NeedToPauseNow", lambda _: int(time.process_time() > deadline))
    status = raw.FPDF_RenderPageBitmap_Start(
        bitmap, page, 0, 0, width, height, 0, raw.FPDF_ANNOT, pause
    )
    raw.FPDF_RenderPage_Close(page)
    if status == raw.FPDF_RENDER_TOBECONTINUED:
        raise UnreadableError(
            ErrorCode.TOO_MANY_PIXELS,
            f"Drawing the first page would take more than {_DRAWING_SECONDS:.0f} s.",
        )
    pixels = bytes(bitmap.buffer)
    header.picture = Image.frombuffer(
        "RGB", (width, height), pixels, "raw", "BGRX", bitmap.stride, 1
    )


def _require_few_pixels(page: Any, most: int) -> None:
    pixels = 0
    for each in page.get_objects(filter=(raw.FPDF_PAGEOBJ_IMAGE,), max_depth=4):
        width, height = ctypes.c_uint(), ctypes.c_uint()
        if raw.FPDFImageObj_GetImagePixelSize(each, width, height):
            pixels += width.value * height.value
        if pixels > most:
            raise UnreadableError(
                ErrorCode.TOO_MANY_PIXELS,
                f"The pictures on the first page have {pixels:,} pixels or more; "
                f"MEDIA_ENRICHER_MAX_PIXELS allows {most:,}.",
            )


def _text(document: Any, length: int) -> str:
    """The start of the text, page after page, for a second at most."""
    deadline = time.process_time() + _TEXT_SECONDS
    found: list[str] = []
    for index in range(min(len(document), _MAX_TEXT_PAGES)):
        text_page = document[index].get_textpage()
        count = min(text_page.count_chars(), length)
        if count > 0:
            found.append(text_page.get_text_range(0, count))
            length -= count
        text_page.close()
        if length <= 0 or time.process_time() > deadline:
            break
    return "\n".join(found)
