"""Small documents, made in code."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Mapping

from tests.probe.samples import photograph, saved

CORE = (
    '<?xml version="1.0"?><cp:coreProperties'
    ' xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>A title</dc:title>'
    "<dc:creator>Ada; Grace</dc:creator><cp:keywords>harbour, night</cp:keywords>"
    "</cp:coreProperties>"
)
APP = (
    '<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties">'
    "<Pages>7</Pages></Properties>"
)
WORD = {
    "[Content_Types].xml": "<Types/>",
    "word/document.xml": "<document/>",
    "docProps/core.xml": CORE,
    "docProps/app.xml": APP,
}
BOOK = {
    "META-INF/container.xml": (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    ),
    "OPS/book.opf": (
        '<package xmlns="http://www.idpf.org/2007/opf">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>A title</dc:title>'
        "<dc:creator>Ada</dc:creator><dc:creator>Grace</dc:creator><dc:subject>harbour</dc:subject>"
        '</metadata><manifest><item id="c" href="cover%20page.png" properties="cover-image"/>'
        "</manifest></package>"
    ),
}
OPEN_DOCUMENT = {
    "meta.xml": (
        "<office:document-meta"
        ' xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
        ' xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta><dc:title>A title</dc:title>'
        "<meta:initial-creator>Ada</meta:initial-creator><meta:keyword>harbour</meta:keyword>"
        '<meta:document-statistic meta:page-count="3"/></office:meta></office:document-meta>'
    )
}


def package(files: Mapping[str, str | bytes], mimetype: str | None = None) -> bytes:
    """A ZIP, deflated; with a first member `mimetype`, stored, where that is given."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        if mimetype:
            target.writestr(zipfile.ZipInfo("mimetype"), mimetype)
        for name, content in files.items():
            target.writestr(name, content)
    return file.getvalue()


def word() -> bytes:
    """A document of Word, of seven pages by its own word."""
    return package(WORD)


def book() -> bytes:
    """An EPUB with a cover."""
    cover = saved(photograph(), "png")
    return package(BOOK | {"OPS/cover page.png": cover}, "application/epub+zip")


def pdf(
    *,
    pages: int = 1,
    box: tuple[int, int] = (200, 100),
    rotate: int = 0,
    content: bytes = b"1 0 0 rg 0 0 200 100 re f BT /F 12 Tf 10 10 Td (Hello) Tj ET",
    padding: int = 0,
) -> bytes:
    """A PDF of equal pages, with a cross-reference table; `padding` bytes before the last page."""
    kids = b" ".join(b"%d 0 R" % (5 + index) for index in range(pages))
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Rotate %d/Contents 3 0 R"
        b"/Resources<</Font<</F 4 0 R>>>>>>" % (*box, rotate)
    )
    info = b"<</Title(A title)/Author(Ada)/Subject(What it says)/Keywords(harbour, night)>>"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, pages),
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        *[page] * pages,
        info,
    ]
    file, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, each in enumerate(objects, 1):
        if number == len(objects):
            file += b"%" + b"x" * padding + b"\n"
        offsets.append(len(file))
        file += b"%d 0 obj%s endobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    return file + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R/Info %d 0 R>>\n"
        b"startxref\n%d\n%%%%EOF\n" % (count, table, count, len(objects), len(file))
    )


_PASSWORD_PADDING = bytes.fromhex(
    "28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a"
)


def encrypted_pdf(password: bytes) -> bytes:
    """A PDF that the standard security handler encrypts with 40 bits of RC4 (ISO 32000-1, 7.6).

    With an empty password every viewer opens it, and it is encrypted all the same.
    """
    identity, permissions = bytes(16), struct.pack("<i", -4)
    padded = (password + _PASSWORD_PADDING)[:32]
    owner = _rc4(_md5(padded)[:5], padded)
    key = _md5(padded + owner + permissions + identity)[:5]

    def encrypted(number: int, content: bytes) -> bytes:
        return _rc4(_md5(key + struct.pack("<IH", number, 0)[:3] + bytes(2))[:10], content)

    content = encrypted(4, b"1 0 0 rg 0 0 200 100 re f")
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        b"<</Title<%s>>>" % encrypted(5, b"A title").hex().encode(),
        b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>"
        % (owner.hex().encode(), _rc4(key, _PASSWORD_PADDING).hex().encode()),
    ]
    file, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj%s endobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return file + (
        b"xref\n0 7\n0000000000 65535 f \n%strailer<</Size 7/Root 1 0 R/Info 5 0 R/Encrypt 6 0 R"
        b"/ID[<%s><%s>]>>\nstartxref\n%d\n%%%%EOF\n"
        % (table, identity.hex().encode(), identity.hex().encode(), len(file))
    )


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) & 255
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) & 255
        j = (j + state[i]) & 255
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) & 255])
    return bytes(out)
