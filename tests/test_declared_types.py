"""Which content type an object is declared as: right ones, and never one that runs more."""

from __future__ import annotations

import re
from pathlib import Path

import puremagic.main
import pytest

from media_enricher import probe
from media_enricher.declared_types import RULES, WRITABLE, Left, Rule, decide
from media_enricher.probe.content_types import RAW_EXTENSIONS, normalised

pytestmark = pytest.mark.unit

_TYPE = re.compile(r'"((?:application|audio|font|image|model|text|video)/[a-z0-9][a-z0-9.+-]+)"')
_CLAIMED = {
    "image/targa",  # names that an uploader may have given a TGA, never found
    "image/x-targa",
}


def named_in(*modules: str) -> set[str]:
    """The content types that stand in modules of `probe`, in their one spelling."""
    folder = Path(probe.__file__).parent
    found = {name for module in modules for name in _TYPE.findall((folder / module).read_text())}
    return {normalised(name) or name for name in found}


def found_by_signature() -> set[str]:
    """All types that the sniffer and the readers behind it name themselves."""
    return named_in(
        "sniff.py",
        "sniffing/archives.py",
        "sniffing/media.py",
        "sniffing/text.py",
        "av/__init__.py",
        "image/__init__.py",
        "document/__init__.py",
    ) | set(RAW_EXTENSIONS.values())


def guessed() -> set[str]:
    """All types of the general library behind our own signatures."""
    tables = (
        puremagic.main.magic_header_array,
        puremagic.main.magic_footer_array,
    )
    return {normalised(each.mime_type) or "" for table in tables for each in table} - {""}


DECLARED = sorted(
    found_by_signature()
    | guessed()
    | {
        "",
        "*/*",
        "application/atom+xml",
        "application/ecmascript",
        "application/javascript",
        "application/octet-stream",
        "application/xhtml+xml",
        "application/xml",
        "image/jpg",
        "multipart/form-data",
        "text/css",
        "text/html; charset=utf-8",
        "text/javascript",
        "text/markdown",
        "undefined",
    }
)
RUN = re.compile(
    r"html|xml(?!formats|paper)|xul|script|css|wasm|java|flash|xsl|executable|msdownload|mach|elf"
    r"|x-sh|shell|python|perl|php|macroenabled|android|ios-app|installer|msi|bat$|x-dosexec|dll"
    r"|mhtml|rfc822|multipart|postscript|msword|ms-excel|ms-powerpoint"
)
"""Parts of the names of types that something runs."""


def test_each_type_that_can_be_found_has_a_rule() -> None:
    prefixes = {name for name in found_by_signature() if name.endswith((".", "iwork."))}
    assert found_by_signature() - prefixes - _CLAIMED <= set(RULES)


def test_nothing_that_is_run_is_written_but_a_scripted_image_for_a_scripted_document() -> None:
    for true in found_by_signature() | guessed() | set(DECLARED):
        for declared in (*DECLARED, None):
            written = decide(declared, true).content_type
            if written is None or not RUN.search(written):
                continue
            assert written == "image/svg+xml"
            bare = (declared or "").partition(";")[0]
            assert bare in {"application/xhtml+xml", "application/xml", "text/html", "text/xml"}


def test_the_parts_of_names_do_find_what_is_run() -> None:
    known = {"text/html", "text/xml", "image/svg+xml", "application/wasm", "application/x-elf"}
    assert all(RUN.search(name) for name in known)
    assert not RUN.search("image/jpeg")
    assert not any(RUN.search(name) for name in WRITABLE - {"image/svg+xml"})


def test_only_what_is_listed_is_written() -> None:
    assert len(guessed()) > 100
    for true in guessed() - set(RULES):
        assert decide(None, true) == (None, Left.UNLISTED)
    assert {name for name, rule in RULES.items() if rule is not Rule.NEVER} == WRITABLE


def test_what_is_written_once_stays() -> None:
    for true in WRITABLE:
        for declared in DECLARED:
            written = decide(declared, true).content_type
            assert written in {None, true}
            assert decide(written or declared, true).content_type is None


@pytest.mark.parametrize(
    "declared", [None, "", "  ", "undefined", "jpg", "application/octet-stream"]
)
def test_a_type_that_says_nothing_is_replaced(declared: str | None) -> None:
    for true in sorted(WRITABLE - {"image/svg+xml"}):
        assert decide(declared, true) == (true, None)


@pytest.mark.parametrize(
    ("declared", "true"),
    [
        ("text/plain", "image/jpeg"),
        ("text/plain", "application/zip"),
        ("text/plain;charset=UTF-8", "video/mp4"),
        ("image/png", "image/jpeg"),
        ("image/jpg", "image/jpeg"),
        ("IMAGE/JPG", "image/jpeg"),
        ("audio/mp3", "audio/mpeg"),
        ("application/json", "image/webp"),
        ("multipart/form-data; boundary=x", "image/png"),
        ("application/x-www-form-urlencoded", "application/pdf"),
        ("text/html", "image/png"),
        ("text/html; charset=utf-8", "application/gzip"),
        ("text/html", "image/svg+xml"),
        ("application/xml", "image/svg+xml"),
        ("image/jpeg", "application/zip"),
        ("image/jpeg", "image/tiff"),
        ("video/mp2t", "text/plain"),  # TypeScript
        ("audio/mp4", "video/mp4"),
        ("application/zip", "application/epub+zip"),
    ],
)
def test_a_wrong_type_is_replaced(declared: str, true: str) -> None:
    assert decide(declared, true) == (true, None)


@pytest.mark.parametrize(
    ("declared", "true", "left"),
    [
        ("image/jpeg", "image/jpeg", Left.RIGHT),
        ("Image/JPEG; q=1", "image/jpeg", Left.RIGHT),
        ('video/mp4; codecs="avc1.42E01E"', "video/mp4", Left.RIGHT),
        ("image/apng", "image/png", Left.RIGHT),
        ("audio/opus", "audio/ogg", Left.RIGHT),
        ("text/plain", "text/plain", Left.RIGHT),
        ("image/svg", "image/svg+xml", Left.RIGHT),
        ("image/png", "image/svg+xml", Left.EXECUTABLE),
        ("application/octet-stream", "image/svg+xml", Left.EXECUTABLE),
        ("text/plain", "image/svg+xml", Left.EXECUTABLE),
        (None, "image/svg+xml", Left.EXECUTABLE),
        (None, "text/html", Left.UNLISTED),
        ("text/plain", "text/html", Left.UNLISTED),
        ("image/svg+xml", "text/html", Left.UNLISTED),
        ("application/octet-stream", "application/wasm", Left.UNLISTED),
        ("application/octet-stream", "text/xml", Left.UNLISTED),
        ("application/octet-stream", "text/javascript", Left.UNLISTED),
        ("text/csv", "text/plain", Left.FINER),
        ("text/css", "text/plain", Left.FINER),
        ("text/javascript", "text/plain", Left.FINER),
        ("application/geo+json", "application/json", Left.FINER),
        ("application/vnd.android.package-archive", "application/zip", Left.FINER),
        ("application/geopackage+sqlite3", "application/vnd.sqlite3", Left.FINER),
        ("image/x-nikon-nef", "image/tiff", Left.FINER),
        ("image/heif", "image/heic", Left.FINER),
        ("application/illustrator", "application/pdf", Left.FINER),
    ],
)
def test_a_type_that_may_be_better_or_safer_stays(
    declared: str | None, true: str, left: Left
) -> None:
    assert decide(declared, true) == (None, left)
