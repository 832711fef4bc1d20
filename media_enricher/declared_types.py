"""Which content type an object is to be declared as, given the one it has and its true one.

A browser goes by the declared type: it shows an image that is declared `image/png`, downloads one
that is declared `application/octet-stream`, and runs what is declared `text/html`. So a wrong type
is put right, but never in a way that lets anyone run what could not be run before. Whoever may
upload chooses the bytes, and with them what we take for the true type.

The rules are in `RULES`. A type that is not in it is never written: among the types that `probe`
can find are some that an uploader can put into words (the first member of a ZIP file), and some
that a general library guesses.

What browsers do with a type: https://mimesniff.spec.whatwg.org/ and the HTML standard's rules for
loading documents and scripts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from media_enricher.probe.content_types import RAW_EXTENSIONS, normalised


class Rule(StrEnum):
    """When a true type may be written."""

    KNOWN = "known"
    """A probe has read the content, and browsers run nothing of it: in place of any other type."""
    COARSE = "coarse"
    """Known by its first bytes alone, or the container of many other formats: in place of a type
    that says nothing or cannot be true. Another type may be the better name."""
    DOCUMENT = "document"
    """Browsers run scripts in it: only in place of another such type."""
    NEVER = "never"
    """Programs, scripts, and what says less than most types that are declared."""


_IMAGES = """
    image/avif image/bmp image/gif image/heic image/heif image/icns image/jp2 image/jpeg image/jxl
    image/png image/qoi image/tiff image/vnd.adobe.photoshop image/vnd.ms-dds image/vnd.zbrush.pcx
    image/webp image/x-canon-cr2 image/x-canon-cr3 image/x-exr image/x-fuji-raf image/x-icon
    image/x-olympus-orf image/x-panasonic-rw2 image/x-portable-anymap image/x-portable-bitmap
    image/x-portable-graymap image/x-portable-pixmap image/x-win-cursor
"""
_SOUND_AND_FILM = """
    audio/3gpp audio/3gpp2 audio/aac audio/aiff audio/amr audio/flac audio/mp4 audio/mpeg audio/ogg
    audio/wav audio/webm audio/x-matroska audio/x-ms-wma
    video/3gpp video/3gpp2 video/mp2t video/mp4 video/mpeg video/ogg video/quicktime video/webm
    video/x-flv video/x-matroska video/x-ms-asf video/x-ms-wmv video/x-msvideo
"""
# A PDF may hold scripts, but a browser's viewer keeps them away from the page's origin.
_OFFICE = "application/vnd.openxmlformats-officedocument."
_DOCUMENTS = f"""
    application/epub+zip application/pdf
    {_OFFICE}presentationml.presentation {_OFFICE}presentationml.slideshow
    {_OFFICE}presentationml.template {_OFFICE}spreadsheetml.sheet
    {_OFFICE}spreadsheetml.template {_OFFICE}wordprocessingml.document
    {_OFFICE}wordprocessingml.template
    application/vnd.oasis.opendocument.graphics application/vnd.oasis.opendocument.presentation
    application/vnd.oasis.opendocument.spreadsheet application/vnd.oasis.opendocument.text
"""
_MEDIA_BY_SIGNATURE = """
    application/ogg application/vnd.rn-realmedia audio/basic audio/midi audio/x-ape audio/x-caf
    audio/x-dsf audio/x-musepack audio/x-tta audio/x-wavpack image/vnd.djvu image/x-ilbm
    image/x-targa image/targa image/x-tga image/x-xcf
"""
_FONTS_AND_MODELS = """
    font/collection font/otf font/ttf font/woff font/woff2 model/gltf-binary
"""
_DATA = """
    application/gzip application/json application/rtf application/vnd.apache.arrow.file
    application/vnd.apache.parquet application/vnd.apple.iwork application/vnd.comicbook+zip
    application/vnd.google-earth.kmz application/vnd.ms-visio.drawing
    application/vnd.ms-xpsdocument application/vnd.rar application/vnd.sqlite3
    application/x-7z-compressed application/x-bzip2 application/x-lz4 application/x-xz
    application/zip application/zstd text/plain
"""
_SCRIPTED_IMAGES = "image/svg+xml"
# HTML and XML are the containers of many formats, too: no gain is worth the risk.
_MARKUP = "text/html text/xml"
# The old formats of Word, Excel and PowerPoint may have macros, whatever they are called.
_PROGRAMS = """
    application/java-archive application/postscript application/vnd.android.package-archive
    application/msword application/vnd.ms-excel application/vnd.ms-powerpoint
    application/vnd.ms-excel.sheet.macroenabled.12
    application/vnd.ms-powerpoint.presentation.macroenabled.12
    application/vnd.ms-word.document.macroenabled.12
    application/wasm application/x-elf application/x-ios-app
"""

RULES: dict[str, Rule] = {
    content_type: rule
    for rule, content_types in (
        (Rule.KNOWN, _IMAGES),
        (Rule.KNOWN, _SOUND_AND_FILM),
        (Rule.KNOWN, _DOCUMENTS),
        (Rule.COARSE, _MEDIA_BY_SIGNATURE),
        (Rule.COARSE, _FONTS_AND_MODELS),
        (Rule.COARSE, _DATA),
        # A TIFF file counts as one of these by its name alone.
        (Rule.COARSE, " ".join(RAW_EXTENSIONS.values())),
        # Both are TIFF files, and known by more than their names.
        (Rule.KNOWN, "image/x-canon-cr2 image/x-olympus-orf"),
        (Rule.DOCUMENT, _SCRIPTED_IMAGES),
        (Rule.NEVER, _MARKUP),
        (Rule.NEVER, _PROGRAMS),
    )
    for content_type in content_types.split()
}
"""The rule of each true type. All others: `Rule.NEVER`."""

WRITABLE = frozenset(name for name, rule in RULES.items() if rule is not Rule.NEVER)
"""The types that may be written."""

_SAY_NOTHING = frozenset(
    {
        "*/*",
        "application/binary",
        "application/octet-stream",
        "application/unknown",
        "application/x-binary",
        "application/x-octet-stream",
        "application/x-www-form-urlencoded",  # what curl sends if it is told nothing
        "binary/octet-stream",
        "multipart/form-data",  # of the request that uploaded it
        "unknown/unknown",
    }
)
_RUN_SCRIPTS = frozenset(
    {"application/xhtml+xml", "application/xml", "image/svg+xml", "text/html", "text/xml"}
)
"""Declared as one of these, an object that is opened runs its scripts in the page's origin."""
_TEXTS = frozenset(
    {
        "application/ecmascript",
        "application/javascript",
        "application/json",
        "application/x-javascript",
        *_RUN_SCRIPTS,
    }
)
"""Texts beside `text/…`."""
_TRUE_TEXTS = frozenset({"application/json", "application/rtf", "text/plain"})
_FINER: dict[str, frozenset[str]] = {
    "application/pdf": frozenset({"application/illustrator", "application/vnd.adobe.illustrator"}),
    "image/avif": frozenset({"image/avif-sequence"}),
    "image/heic": frozenset({"image/heif"}),
    "image/heif": frozenset({"image/heic"}),
    "image/tiff": frozenset({"image/dng", "image/x-dcraw", "image/x-raw"}),
}
"""Declared types that stay, because they are true as well: by their true types."""
_OTHER_SPELLINGS = """
    application/x-gzip application/x-pdf application/x-rar-compressed application/x-zip-compressed
    audio/aacp audio/m4a audio/mp3 audio/wave audio/x-aac audio/x-aiff audio/x-flac audio/x-m4a
    audio/x-wav
    image/j2k image/jpeg2000 image/jpg image/pjpeg image/tif image/x-bmp image/x-ms-bmp image/x-png
    image/x-windows-bmp
    video/avi video/matroska video/msvideo video/x-quicktime
"""
_MISSPELT = frozenset(_OTHER_SPELLINGS.split())
"""Other spellings, which are put right. What else `normalised` takes for the same says more."""


class Left(StrEnum):
    """Why a declared type stays as it is."""

    RIGHT = "right"
    """It is the true one, or as good."""
    UNLISTED = "unlisted"
    """The true type is not one that may be written."""
    EXECUTABLE = "executable"
    """The true type would let browsers run more than the declared one does."""
    FINER = "finer"
    """The declared type may be a better name of the same."""


class Decision(NamedTuple):
    """What becomes of a declared type: one of the two is None."""

    content_type: str | None
    """What is to be declared."""
    left: Left | None
    """Why it stays."""


def decide(declared: str | None, true: str) -> Decision:
    """Whether an object's declared content type is to be replaced by its true one.

    Args:
        declared: as Storage has it, with parameters; None or empty where there is none.
        true: by the bytes, normalised, as `media_assets.content_type` holds it.
    """
    bare = (declared or "").partition(";")[0].strip().lower()
    rule = RULES.get(true, Rule.NEVER)
    left: Left | None = None
    if bare == true or (normalised(declared) == true and bare not in _MISSPELT):
        left = Left.RIGHT
    elif rule is Rule.NEVER:
        left = Left.UNLISTED
    elif rule is Rule.DOCUMENT and bare not in _RUN_SCRIPTS:
        left = Left.EXECUTABLE
    elif _may_be_finer(bare, true, rule):
        left = Left.FINER
    return Decision(None, left) if left else Decision(true, None)


def _may_be_finer(bare: str, true: str, rule: Rule) -> bool:
    """Whether a declared type may be as true as the true one, or say more."""
    if bare in _FINER.get(true, ()) or (true == "image/tiff" and bare in RAW_EXTENSIONS.values()):
        return True
    if rule is not Rule.COARSE or bare in _MISSPELT or _says_nothing(bare):
        return False
    if RULES.get(normalised(bare) or bare) is Rule.KNOWN:
        return False  # if it were that, the bytes would say so
    is_text = bare.startswith("text/") or bare in _TEXTS
    return not is_text or true in _TRUE_TEXTS


def _says_nothing(bare: str) -> bool:
    """Whether a declared type is none, or one that is given to anything."""
    return bare in _SAY_NOTHING or bare.count("/") != 1
