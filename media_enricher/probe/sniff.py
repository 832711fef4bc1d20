"""The true content type of an object, by its bytes.

The images that we can read are recognised by their own signatures, in a microsecond. Whatever else
there is goes to puremagic, and what that does not know may still be text.
"""

from __future__ import annotations

import re
import zlib

import puremagic

from media_enricher.probe.content_types import RAW_EXTENSIONS, extension_of, normalised
from media_enricher.probe.markup import root_name

_SNIFFED_BYTES = 2048
_LEAST_CONFIDENCE = 0.4
"""Of puremagic: a signature of four bytes, or a shorter one that the extension agrees with."""

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00\x08\x00", "image/tiff"),
    (b"MM\x00+\x00\x08", "image/tiff"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"icns", "image/icns"),
    (b"8BPS\x00\x01", "image/vnd.adobe.photoshop"),
    (b"8BPS\x00\x02", "image/vnd.adobe.photoshop"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\xff\x4f\xff\x51", "image/jp2"),
    (b"qoif", "image/qoi"),
    (b"DDS \x7c\x00\x00\x00", "image/vnd.ms-dds"),
    (b"\xff\x0a", "image/jxl"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (b"FUJIFILMCCD-RAW", "image/x-fuji-raf"),
    (b"IIRO", "image/x-olympus-orf"),
    (b"IIRS", "image/x-olympus-orf"),
    (b"MMOR", "image/x-olympus-orf"),
    (b"IIU\x00", "image/x-panasonic-rw2"),
    (b"gimp xcf", "image/x-xcf"),
    (b"v/1\x01", "image/x-exr"),
    (b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (b"%!PS", "application/postscript"),
)

_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic",
    b"hevx": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"crx ": "image/x-canon-cr3",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"M4V ": "video/mp4",
    b"isom": "video/mp4",
    b"iso2": "video/mp4",
    b"iso5": "video/mp4",
    b"iso6": "video/mp4",
    b"mp41": "video/mp4",
    b"mp42": "video/mp4",
    b"dash": "video/mp4",
}
"""The file types of ISO base media (ISO 14496-12) that share one signature."""

_GENERIC_BRANDS = (b"mif1", b"msf1")

_RIFF_FORMS = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}

_BITMAP_HEADERS = {bytes((size, 0, 0, 0)) for size in (12, 16, 40, 52, 56, 64, 108, 124)}
_NETPBM = re.compile(rb"P(?:[1-6]|[Ff]|0CMYK|yRGBA|yCMYK)[\s#]|P7\n")
_JSON = re.compile(rb"\{\s*(?:\"|\}|$)|\[\s*(?:[\"\[\{\]]|-?\d|true|false|null|$)")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_NETPBM_TYPES = {
    b"1": "image/x-portable-bitmap",
    b"2": "image/x-portable-graymap",
    b"3": "image/x-portable-pixmap",
    b"4": "image/x-portable-bitmap",
    b"5": "image/x-portable-graymap",
    b"6": "image/x-portable-pixmap",
}
_PCX_HEADER = 128
_TGA_TYPES = {"image/x-tga", "image/x-targa", "image/targa"}


def sniff(head: bytes, path: str = "", declared_content_type: str | None = None) -> str | None:
    """The content type of an object by its first bytes (4 KiB do), or None for no idea.

    The name and the declared type only decide between types that the bytes allow: a camera's raw
    file is a TIFF by its signature, and a TGA has none.
    """
    return _image(head, path, declared_content_type) or _by_puremagic(head, path) or _text(head)


def _image(head: bytes, path: str, declared: str | None) -> str | None:
    for signature, content_type in _SIGNATURES:
        if head.startswith(signature):
            return _raw_or_tiff(head, path) if content_type == "image/tiff" else content_type
    return _by_structure(head) or _by_text(head, path) or _by_claim(head, path, declared)


def _by_structure(head: bytes) -> str | None:
    if head[:4] == b"RIFF":
        return _RIFF_FORMS.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if _is_cursor(head):
        return "image/x-win-cursor"
    if _is_pcx(head):
        return "image/vnd.zbrush.pcx"
    is_bitmap = head[:2] == b"BM" and head[14:18] in _BITMAP_HEADERS
    return "image/bmp" if is_bitmap else None


def _is_cursor(head: bytes) -> bool:
    """A directory of cursors; a TGA, which may begin alike, has no entries there."""
    count = int.from_bytes(head[4:6], "little")
    offset = int.from_bytes(head[18:22], "little")
    return (
        head[:4] == b"\0\0\2\0" and count > 0 and head[9:10] == b"\0" and offset >= 6 + 16 * count
    )


def _is_pcx(head: bytes) -> bool:
    return (
        len(head) >= _PCX_HEADER
        and head[0] == 10
        and head[1] in {0, 2, 3, 4, 5}
        and head[2] == 1
        and head[3] in {1, 2, 4, 8}
        and head[64] == 0
        and head[65] in {1, 2, 3, 4}
        and head[4:6] <= head[8:10]
    )


def _by_text(head: bytes, path: str) -> str | None:
    if _NETPBM.match(head):
        return _NETPBM_TYPES.get(head[1:2], "image/x-portable-anymap")
    return "image/svg+xml" if _is_svg(head, path) else None


def _by_claim(head: bytes, path: str, declared: str | None) -> str | None:
    claims_tga = extension_of(path) == ".tga" or normalised(declared) in _TGA_TYPES
    return "image/x-tga" if claims_tga and _may_be_tga(head) else None


def _raw_or_tiff(head: bytes, path: str) -> str:
    if head[8:10] == b"CR":
        return "image/x-canon-cr2"
    return RAW_EXTENSIONS.get(extension_of(path), "image/tiff")


def _by_brand(head: bytes) -> str:
    """The type of an ISO base media file: its major brand, or the first telling one it lists."""
    end = min(max(int.from_bytes(head[:4], "big"), 16), 256, len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    telling = [brand for brand in brands if brand in _BRANDS and brand not in _GENERIC_BRANDS]
    if brands[0] in _GENERIC_BRANDS:
        # The coding is named among the compatible brands, beside generic ones such as `mp41`.
        telling = [brand for brand in telling if _BRANDS[brand].startswith("image/")]
        return _BRANDS[(telling or brands)[0]]
    return _BRANDS[telling[0]] if telling else "video/mp4"


def _is_svg(head: bytes, path: str) -> bool:
    if head[:2] == b"\x1f\x8b" and extension_of(path) == ".svgz":
        head = gunzipped(head, _SNIFFED_BYTES)
    return root_name(head[:_SNIFFED_BYTES]) == "svg"


def gunzipped(data: bytes, limit: int) -> bytes:
    """At most `limit` bytes of what gzip packed; what there is of a damaged one."""
    try:
        return zlib.decompressobj(wbits=31).decompress(data, limit)
    except zlib.error:
        return b""


def _may_be_tga(head: bytes) -> bool:
    """A TGA has no signature, so look whether its header makes sense."""
    return (
        len(head) >= 18
        and head[1] in {0, 1}
        and head[2] in {1, 2, 3, 9, 10, 11}
        and head[16] in {1, 8, 15, 16, 24, 32}
        and head[12:14] != b"\0\0"
        and head[14:16] != b"\0\0"
    )


def _by_puremagic(head: bytes, path: str) -> str | None:
    extension = extension_of(path)
    try:
        matches = puremagic.magic_string(head[:_SNIFFED_BYTES], filename=f"x{extension}")
    except puremagic.PureError:
        return None
    for match in matches:
        by_bytes = match.byte_match != b"" and match.confidence >= _LEAST_CONFIDENCE
        if by_bytes and "/" in match.mime_type:
            return normalised(match.mime_type)
    return None


def _text(head: bytes) -> str | None:
    sample = head[:_SNIFFED_BYTES]
    if not sample.strip() or _NOT_TEXT.search(sample):
        return None
    if root_name(sample) in {"html", "head", "body"}:
        return "text/html"
    try:
        # A multi-byte character may be cut in two by the end of the sample.
        sample.decode("utf-8", errors="strict")
    except UnicodeDecodeError as broken:
        if broken.start < len(sample) - 3:
            return None
    start = sample.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<?xml"):
        return "text/xml"
    if _JSON.match(start):
        return "application/json"
    return "text/plain"
