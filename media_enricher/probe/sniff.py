"""The true content type of an object, by its bytes.

What we can read is recognised by its own signature, in a microsecond; of containers that share one,
by what they hold (`sniffing`). Whatever else there is may be text, or goes to puremagic.
"""

from __future__ import annotations

import re
import zlib

import puremagic

from media_enricher.probe import compound_files
from media_enricher.probe.content_types import RAW_EXTENSIONS, extension_of, normalised
from media_enricher.probe.markup import root_name
from media_enricher.probe.sniffing import archives, compound, media
from media_enricher.probe.sniffing.encodings import announced_encoding
from media_enricher.probe.sniffing.text import markup_start, text_type
from media_enricher.probe.source import MoreBytesError, UnreadableError, Window

MAX_SNIFFED = 1280 * 1024
"""The most bytes of an object that are held to find its type; beyond, the type is the likeliest."""
_HEAD_BYTES = 4096
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
    # Sound and film.
    (b"fLaC", "audio/flac"),
    (b"#!AMR", "audio/amr"),
    (b"caff\x00\x01", "audio/x-caf"),
    (b"MThd\x00\x00\x00\x06", "audio/midi"),
    (b"wvpk", "audio/x-wavpack"),
    (b"MAC \x00", "audio/x-ape"),
    (b"MAC \x96\x0f", "audio/x-ape"),
    (b"TTA1", "audio/x-tta"),
    (b"MPCK", "audio/x-musepack"),
    (b"DSD ", "audio/x-dsf"),
    (b".snd", "audio/basic"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "video/x-ms-asf"),
    (b".RMF", "application/vnd.rn-realmedia"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
    # Documents, fonts, programs, data and archives.
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"AT&TFORM", "image/vnd.djvu"),
    (b"\x00\x01\x00\x00\x00", "font/ttf"),
    (b"true\x00", "font/ttf"),
    (b"OTTO\x00", "font/otf"),
    (b"ttcf\x00", "font/collection"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x00asm", "application/wasm"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"ARROW1\x00\x00", "application/vnd.apache.arrow.file"),
    (b"glTF", "model/gltf-binary"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x04\x22\x4d\x18", "application/x-lz4"),
    *((b"BZh%d1AY&SY" % level, "application/x-bzip2") for level in range(1, 10)),
    (b"\x7fELF", "application/x-elf"),
)

_BY_FIRST_BYTE = {
    first: [(signature, name) for signature, name in _SIGNATURES if signature[:1] == first]
    for first in {signature[:1] for signature, _ in _SIGNATURES}
}

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
    b"M4P ": "audio/mp4",
    b"F4A ": "audio/mp4",
    b"M4V ": "video/mp4",
    b"isom": "video/mp4",
    b"iso2": "video/mp4",
    b"iso5": "video/mp4",
    b"iso6": "video/mp4",
    b"mp41": "video/mp4",
    b"mp42": "video/mp4",
    b"dash": "video/mp4",
    b"mmp4": "video/mp4",
    b"F4V ": "video/mp4",
    b"avc1": "video/mp4",
    b"MSNV": "video/mp4",
    b"iso3": "video/mp4",
    b"iso4": "video/mp4",
    **{b"3gp%d" % release: "video/3gpp" for release in range(1, 10)},
    **{b"3g%c%d" % (kind, release): "video/3gpp" for kind in b"ersh" for release in range(6, 10)},
    **{b"3g2%c" % release: "video/3gpp2" for release in b"abc"},
}
"""The file types of ISO base media (ISO 14496-12) that share one signature."""

_GENERIC_BRANDS = (b"mif1", b"msf1")

_RIFF_FORMS = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_IFF_FORMS = {b"AIFF": "audio/aiff", b"AIFC": "audio/aiff", b"ILBM": "image/x-ilbm"}
_CHUNKED = {
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64", b"RIFX"), _RIFF_FORMS),
    b"FORM": _IFF_FORMS,
}
"""Files of chunks: the mark that they begin with, and the form at byte 8."""

_BITMAP_HEADERS = {bytes((size, 0, 0, 0)) for size in (12, 16, 40, 52, 56, 64, 108, 124)}
_PDF = re.compile(rb"(?:^|[\r\n\x00])%PDF-\d\.\d")
"""It may stand behind other bytes, in the first 1024 (ISO 32000-1, annex H, note 13)."""
_NETPBM = re.compile(rb"P(?:[1-6]|[Ff]|0CMYK|yRGBA|yCMYK)[\s#]|P7\n")
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
    """The content type of an object by its first bytes alone (4 KiB do), or None for no idea.

    The name and the declared type only decide between types that the bytes allow: a camera's raw
    file is a TIFF by its signature, and a TGA has none.
    """
    return identify(Window(head), path, declared_content_type)


def identify(window: Window, path: str = "", declared: str | None = None) -> str | None:
    """As `sniff`, of an object of which more can be had: a ZIP's directory is at its end.

    Raises:
        MoreBytesError: the type depends on bytes that are not held, within `MAX_SNIFFED`.
    """
    head = bytes(window.data[:_HEAD_BYTES])
    try:
        return _identified(window, head, path, declared)
    except MoreBytesError as more:
        if window.may_ask(more, MAX_SNIFFED):
            raise
    # With what is held as if it were all of it.
    return _identified(Window(bytes(window.data[:MAX_SNIFFED])), head, path, declared)


def _identified(window: Window, head: bytes, path: str, declared: str | None) -> str | None:
    for signature, content_type in _BY_FIRST_BYTE.get(head[:1], ()):
        if head.startswith(signature):
            return _raw_or_tiff(head, path) if content_type == "image/tiff" else content_type
    return (
        _by_structure(window, head, path)
        or _by_text(window, head, path)
        or _by_claim(head, path, declared)
        or _by_puremagic(head, path)
        or text_type(head, head)
    )


def _by_structure(window: Window, head: bytes, path: str) -> str | None:
    """The type of a container by what it holds, and of frames that follow each other."""
    forms = _CHUNKED.get(head[:4], {})
    if head[8:12] in forms:
        return forms[head[8:12]]
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if by_fields := _by_fields(head):
        return by_fields
    if _PDF.search(head[:1024]):
        return "application/pdf"
    try:
        return _by_contents(window, head, path)
    except UnreadableError:
        return None  # a container that ends before it tells


def _by_fields(head: bytes) -> str | None:
    """The type of a picture whose signature is too short to be told by it alone."""
    if head[:2] == b"BM" and head[14:18] in _BITMAP_HEADERS:
        return "image/bmp"
    if _is_cursor(head):
        return "image/x-win-cursor"
    return "image/vnd.zbrush.pcx" if _is_pcx(head) else None


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


def _by_contents(window: Window, head: bytes, path: str) -> str | None:
    if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        return archives.zip_type(window, head, extension_of(path))
    if head.startswith(compound_files.SIGNATURE):
        return compound.compound_type(window)
    return _by_streams(window, head)


def _by_streams(window: Window, head: bytes) -> str | None:
    """The type of sound and film."""
    if head[:4] == b"OggS":
        return media.ogg_type(window)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return media.ebml_type(head)
    if media.is_transport_stream(head):
        return "video/mp2t"
    if head[:3] == b"ID3" or head[:1] == b"\xff":
        return media.framed_type(window)
    is_quicktime = media.is_quicktime_without_brand(head, window.size)
    return "video/quicktime" if is_quicktime else None


def _by_text(window: Window, head: bytes, path: str) -> str | None:
    if _NETPBM.match(head):
        return _NETPBM_TYPES.get(head[1:2], "image/x-portable-anymap")
    if head[:2] == b"\x1f\x8b":
        is_svg = extension_of(path) == ".svgz" and _is_svg(gunzipped(head, _SNIFFED_BYTES))
        return "image/svg+xml" if is_svg else "application/gzip"
    if announced_encoding(head) or head.lstrip()[:1] in {b"<", b""}:
        start = markup_start(window)
        return "image/svg+xml" if _is_svg(start) else text_type(head, start)
    return None


def _is_svg(start: bytes) -> bool:
    return root_name(start) == "svg"


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
    is_text = text_type(head, head) is not None
    for match in matches:
        if is_text and match.mime_type.startswith(("audio/", "font/", "image/", "video/")):
            continue  # a word that is a signature, too
        by_bytes = match.byte_match != b"" and match.confidence >= _LEAST_CONFIDENCE
        if by_bytes and "/" in match.mime_type:
            return normalised(match.mime_type)
    return None
