"""Text from files, made fit for Postgres and JSON."""

from __future__ import annotations

import re

MAX_TITLE = 500
MAX_DESCRIPTION = 10_000
MAX_TAG = 200
"""Characters. An index entry of Postgres holds no more than some 2,700 bytes."""
MAX_TAGS = 200

MAX_NAME = 200
MAX_ADDRESS = 2_000

# Controls but for tab and line feed, and lone surrogates, which have no UTF-8.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(text: str, limit: int) -> str | None:
    """The text without controls and outer blanks, at most `limit` characters; None if empty."""
    if not text.isprintable():  # most is: then there is nothing to replace
        text = _UNFIT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return text[: limit + 100].strip()[:limit].rstrip() or None


def decoded(raw: bytes) -> str:
    """Bytes of unstated encoding: UTF-8 where they are, else Windows' superset of Latin-1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def distinct(tags: list[str]) -> list[str]:
    """Tags cleaned, without doubles and in order."""
    cleaned = (clean(tag, MAX_TAG) for tag in tags)
    return list(dict.fromkeys(tag for tag in cleaned if tag))[:MAX_TAGS]


# What cameras and programs put where a description belongs, before anybody wrote one.
_CAMERA = re.compile(
    r"(?:[a-z]+ ){0,2}digital (?:still )?camera|sony dsc|dcf 1\.0|exif[_ ]jpeg(?:[_ ]\w{1,10})?"
    r"|<[^<>]{0,30}(?:samsung|kenox|digimax)[^<>]{0,40}>"
    r"|(?:lead technologies|applemark|file written by adobe photoshop)\b.{0,20}",
    re.I,
)
# Scenes that Huawei's cameras chose, in ImageDescription: `cof` is a colour filter, `edf` bokeh.
_SCENES = re.compile(
    r"(?:bty|btf|cof|dav|edf|fhdr|hdrpl|mde|oznor|ptr|rhdr|sdr|vhdr|zcb)[\w-]{0,4}"
)


def is_default_description(text: str) -> bool:
    """Whether a camera or program wrote it by itself, such as `OLYMPUS DIGITAL CAMERA`."""
    text = text.strip()
    return len(text) <= 80 and bool(_CAMERA.fullmatch(text) or _SCENES.fullmatch(text))
