"""The true type of what is no plain image: by what the bytes hold, not by the name."""

from __future__ import annotations

import random
import struct
from pathlib import PurePosixPath

import pytest

from media_enricher.models import AssetStatus, Kind
from media_enricher.probe.content_types import extension_of, kind_of
from media_enricher.probe.sniff import MAX_SNIFFED, identify, sniff
from media_enricher.probe.source import MoreBytesError, Window
from tests.probe.documents import OPEN_DOCUMENT, WORD, package
from tests.probe.samples import full, header

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="80"><rect/></svg>\n'
MP3_FRAME = b"\xff\xfb\x90\x64" + bytes(413)
ADTS_FRAME = b"\xff\xf1\x50\x80\x04\x1f\xfc" + bytes(25)
TAG = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)


def ogg(*packets: bytes) -> bytes:
    pages = b""
    for serial, packet in enumerate(packets):
        pages += b"OggS\0\2" + bytes(8) + struct.pack("<III", serial, 0, 0)
        pages += bytes((1, len(packet))) + packet
    return pages


def ftyp(*brands: bytes) -> bytes:
    content = brands[0] + bytes(4) + b"".join(brands[1:])
    return struct.pack(">I", len(content) + 8) + b"ftyp" + content + bytes(64)


def transport(length: int, offset: int) -> bytes:
    return (bytes(offset) + b"G" + bytes(length - offset - 1)) * 4


TYPES: dict[str, tuple[bytes, str | None]] = {
    "mp3": (MP3_FRAME * 12, "audio/mpeg"),
    "one mp3 frame": (MP3_FRAME, "audio/mpeg"),
    "mpeg-2 layer 3": ((b"\xff\xf3\x80\xc4" + bytes(204)) * 5, "audio/mpeg"),
    "mp2": ((b"\xff\xfd\x80\x04" + bytes(413)) * 4, "audio/mpeg"),
    "frames that disagree": (b"\xff\xfb\x90\x64" + bytes(2000), None),
    "id3 and mp3": (TAG + MP3_FRAME * 4, "audio/mpeg"),
    "id3 and flac": (TAG + b"fLaC" + bytes(50), "audio/flac"),
    "id3 and aac": (TAG + ADTS_FRAME * 4, "audio/aac"),
    "aac": (ADTS_FRAME * 4, "audio/aac"),
    "flac": (b"fLaC" + bytes(40), "audio/flac"),
    "vorbis": (ogg(b"\x01vorbis" + bytes(23)), "audio/ogg"),
    "opus": (ogg(b"OpusHead" + bytes(11)), "audio/ogg"),
    "flac in ogg": (ogg(b"\x7fFLAC" + bytes(46)), "audio/ogg"),
    "theora": (ogg(b"\x80theora" + bytes(35)), "video/ogg"),
    "theora behind vorbis": (ogg(b"\x01vorbis" + bytes(23), b"\x80theora"), "video/ogg"),
    "ogg of something": (ogg(b"whatever"), "application/ogg"),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(99), "audio/wav"),
    "wav of 64 bits": (b"RF64\xff\xff\xff\xffWAVEds64" + bytes(99), "audio/wav"),
    "avi": (b"RIFF\x24\0\0\0AVI LIST" + bytes(99), "video/x-msvideo"),
    "aiff": (b"FORM\0\0\0\x24AIFFCOMM" + bytes(99), "audio/aiff"),
    "aifc": (b"FORM\0\0\0\x24AIFCFVER" + bytes(99), "audio/aiff"),
    "amr": (b"#!AMR\n" + bytes(32), "audio/amr"),
    "caf": (b"caff\0\1\0\0desc" + bytes(32), "audio/x-caf"),
    "midi": (b"MThd\0\0\0\x06\0\1\0\1\0\x60", "audio/midi"),
    "mp4": (ftyp(b"isom", b"iso2", b"avc1"), "video/mp4"),
    "m4a": (ftyp(b"M4A ", b"mp42", b"isom"), "audio/mp4"),
    "mov": (ftyp(b"qt  "), "video/quicktime"),
    "3gp": (ftyp(b"3gp5", b"isom"), "video/3gpp"),
    "mov without ftyp": (struct.pack(">I", 72) + b"moov" + bytes(64), "video/quicktime"),
    "mov with a wide atom": (struct.pack(">I", 8) + b"wide" + bytes(64), "video/quicktime"),
    "a text of such words": (b"The free book of the wide world", "text/plain"),
    "matroska": (b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska", "video/x-matroska"),
    "webm": (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm\x42\x87\x81\4", "video/webm"),
    "mpeg-ts": (transport(188, 0), "video/mp2t"),
    "m2ts": (transport(192, 4), "video/mp2t"),
    "mpeg-ps": (b"\0\0\1\xba\x44" + bytes(30), "video/mpeg"),
    "flv": (b"FLV\1\5\0\0\0\x09" + bytes(30), "video/x-flv"),
    "wasm": (b"\0asm\1\0\0\0", "application/wasm"),
    "parquet": (b"PAR1\x15\4\x15" + bytes(30) + b"PAR1", "application/vnd.apache.parquet"),
    "glb": (b"glTF\2\0\0\0" + bytes(20), "model/gltf-binary"),
    "ttf": (b"\0\1\0\0\0\x0f\0\x80\0\3\0\x70" + bytes(40), "font/ttf"),
    "otf": (b"OTTO\0\x0f\0\x80\0\3\0\x70" + bytes(40), "font/otf"),
    "woff": (b"wOFF\0\1\0\0" + bytes(40), "font/woff"),
    "woff2": (b"wOF2\0\1\0\0" + bytes(40), "font/woff2"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(30), "application/x-7z-compressed"),
    "rar": (b"Rar!\x1a\7\1\0" + bytes(30), "application/vnd.rar"),
    "xz": (b"\xfd7zXZ\0\0\4" + bytes(30), "application/x-xz"),
    "zstd": (b"\x28\xb5\x2f\xfd\4\0" + bytes(30), "application/zstd"),
    "pdf behind a blank line": (b"\r\n%PDF-1.4\n1 0 obj", "application/pdf"),
    "docx": (
        package(WORD),
        WORD_TYPE := "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    "docx without a directory": (package(WORD)[:-30], WORD_TYPE),
    "docx whose first part is another": (package({"docProps/app.xml": ""} | WORD), WORD_TYPE),
    "docm": (
        package(
            {
                "[Content_Types].xml": '<Override ContentType="application/'
                'vnd.ms-word.document.macroEnabled.main+xml"/>',
                "word/document.xml": "",
            }
        ),
        "application/vnd.ms-word.document.macroenabled.12",
    ),
    "xlsx": (
        package({"xl/workbook.xml": ""}),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    "pptx": (
        package({"ppt/presentation.xml": ""}),
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    "epub": (package({"a": ""}, "application/epub+zip"), "application/epub+zip"),
    "epub whose mimetype is packed": (
        package({"META-INF/container.xml": "", "mimetype": "application/epub+zip"}),
        "application/epub+zip",
    ),
    "odt": (
        package(OPEN_DOCUMENT, "application/vnd.oasis.opendocument.text"),
        "application/vnd.oasis.opendocument.text",
    ),
    "jar": (package({"META-INF/MANIFEST.MF": "", "A.class": ""}), "application/java-archive"),
    "apk": (
        package({"META-INF/MANIFEST.MF": "", "AndroidManifest.xml": ""}),
        "application/vnd.android.package-archive",
    ),
    "zip": (package({"a.txt": "words"}), "application/zip"),
    "empty zip": (package({}), "application/zip"),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_type_is_told_by_what_the_bytes_hold(name: str) -> None:
    data, content_type = TYPES[name]
    for path in ("a", "a.zip", "a.bin"):
        assert sniff(data, path) == content_type
    assert identify(Window(data)) == content_type


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        (SVG, "image/svg+xml"),
        ('<?xml version="1.0"?>\n' + SVG, "image/svg+xml"),
        ("<!DOCTYPE html><html></html>", "text/html"),
        ('{"a": [1, 2]}', "application/json"),
        ("Greetings from Vienna\r\n", "text/plain"),
        ('<?xml version="1.0"?><feed/>', "text/xml"),
    ],
)
def test_text_is_told_in_any_unicode_encoding(codec: str, text: str, content_type: str) -> None:
    assert sniff(text.encode(codec)) == content_type


def test_text_with_a_mark_may_hold_any_character() -> None:
    assert sniff("Grüße aus 東京 \U0001f600\r\n".encode("utf-16")) == "text/plain"


def test_text_of_one_byte_a_character_is_text() -> None:
    assert sniff("Grüße aus Wien\r\n".encode("latin-1")) == "text/plain"
    assert sniff("“Grüße”, 5 €".encode("cp1252")) == "text/plain"
    assert sniff(bytes(range(0x80, 0x100))) is None
    assert sniff(b"words and a \x00 between") is None


PROLOGS = {
    "a long comment": "<!--" + "x" * 9000 + "-->",
    "a very long comment": "<!--" + "x" * 300_000 + "-->",
    "many comments": "<!-- a -->\n" * 3000,
    "blanks": "\n" * 70_000,
    "an instruction": '<?xml version="1.0"?><?xml-stylesheet ' + "a" * 5000 + "?>",
    "a doctype": "<!DOCTYPE svg [" + '<!ENTITY ns "http://example.org/">\n' * 200 + "]>",
    "brackets in a doctype": "<!DOCTYPE svg [<!-- it's > ]> --><!ENTITY x ']>\"'>]>",
}


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
@pytest.mark.parametrize("prolog", PROLOGS.values(), ids=list(PROLOGS))
def test_an_svg_is_found_behind_any_prolog(prolog: str, codec: str) -> None:
    data = (prolog + SVG).encode(codec)
    for found in (full(data), header(data)[0]):
        assert (found.status, found.content_type) == (AssetStatus.ENRICHED, "image/svg+xml")
        assert (found.width, found.height) == (120, 80)


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("<title>Boats &amp; cats</title>", "Boats & cats"),
        ("<!-- made by hand --><title lang='en'> Boats </title>", "Boats"),
        ("<desc>What it shows</desc><title>Boats</title>", "Boats"),
        ("<g><title>Of a part</title></g>", None),
        ("", None),
    ],
)
def test_an_svg_has_the_title_of_its_root(content: str, title: str | None) -> None:
    data = SVG.replace("<rect/>", content + "<rect/>").encode()
    for found in (full(data), header(data)[0]):
        assert found.title == title


def test_a_prolog_that_never_ends_is_not_read_for_ever() -> None:
    data = b"<!--" + b"x" * 3_000_000
    found, read = header(data)
    assert found.content_type == "text/plain"
    assert read <= MAX_SNIFFED


def test_the_directory_of_a_zip_is_asked_for() -> None:
    filler = random.Random(1).randbytes(300_000)
    data = package({"a.bin": filler, **WORD})
    with pytest.raises(MoreBytesError) as raised:
        identify(Window(data[:512], len(data)))
    assert raised.value.wanted.stop == len(data)
    assert header(data)[0].format == "docx"


def test_kinds_follow() -> None:
    assert kind_of("audio/ogg") is Kind.AUDIO
    assert kind_of("application/epub+zip") is Kind.DOCUMENT
    assert kind_of("application/java-archive") is Kind.OTHER


@pytest.mark.parametrize(
    "path",
    ["a.JPG", "a/b.tar.gz", "a.b/c", ".jpg", "a/.jpg", "..", "a..", "a.", "", "a.jpg/", "a.jpg/./"],
)
def test_an_extension_is_that_of_the_last_part(path: str) -> None:
    assert extension_of(path) == PurePosixPath(path).suffix.lower()
