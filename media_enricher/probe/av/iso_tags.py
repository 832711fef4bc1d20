"""What people, phones and programs write into ISO base media files: titles, makers, times, places.

Boxes of QuickTime and 3GP by four characters (QuickTime File Format; 3GPP TS 26.244, 8), items of
iTunes, and QuickTime's items by the names of their keys.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from media_enricher.probe.av.boxes import Box, boxes
from media_enricher.probe.av.header import AvHeader, Cover
from media_enricher.probe.fields.labels import LIVE_PHOTO
from media_enricher.probe.metadata.texts import decoded
from media_enricher.probe.source import Window

_MAX_TEXT = 64 * 1024
_MAX_KEYS = 500

_Setter = Callable[[AvHeader, str], None]


def _set(field: str) -> _Setter:
    def keep(header: AvHeader, text: str) -> None:
        if text and not getattr(header, field):
            setattr(header, field, text)

    return keep


def _set_keywords(header: AvHeader, text: str) -> None:
    header.add_keywords(text.replace(";", ","), ",")


def _set_live(header: AvHeader, text: str) -> None:
    if text:
        header.labels.append(LIVE_PHOTO)


_NAMES: dict[bytes, _Setter] = {
    b"\xa9nam": _set("title"), b"titl": _set("title"), b"\xa9ART": _set("creator"),
    b"\xa9aut": _set("creator"), b"auth": _set("creator"), b"perf": _set("creator"),
    b"aART": _set("creator"), b"\xa9wrt": _set("creator"), b"\xa9cpy": _set("copyright"),
    b"cprt": _set("copyright"), b"desc": _set("description"), b"ldes": _set("description"),
    b"dscp": _set("description"), b"\xa9des": _set("description"), b"\xa9cmt": _set("description"),
    b"\xa9day": _set("taken"), b"keyw": _set_keywords, b"\xa9key": _set_keywords,
    b"\xa9mak": _set("make"), b"\xa9mod": _set("model"), b"\xa9xyz": _set("position"),
}  # fmt: skip
_KEYS: dict[bytes, _Setter] = {
    b"title": _set("title"), b"displayname": _set("title"), b"author": _set("creator"),
    b"artist": _set("creator"), b"creator": _set("creator"), b"copyright": _set("copyright"),
    b"description": _set("description"), b"comment": _set("description"),
    b"keywords": _set_keywords, b"creationdate": _set("taken"), b"make": _set("make"),
    b"model": _set("model"), b"location.ISO6709": _set("position"),
    b"content.identifier": _set_live,
}  # fmt: skip
"""Behind `com.apple.quicktime.`."""
_APPLE = b"com.apple.quicktime."


def read_user_data(window: Window, udta: Box, header: AvHeader) -> None:
    """Fill in what a box `udta` says, in the ways of QuickTime, MP4 and 3GP."""
    for box in boxes(window, udta.start, udta.end):
        if box.name == b"meta":
            read_meta(window, box, header)
        elif box.name == b"loci":
            _read_3gp_position(_text_of(window, box), header)
        elif box.name in _NAMES:
            text = _user_text(_text_of(window, box), is_apple=box.name[:1] == b"\xa9")
            _NAMES[box.name](header, text)


def _text_of(window: Window, box: Box) -> bytes:
    return window.read(box.start, min(box.end - box.start, _MAX_TEXT))


def _user_text(content: bytes, *, is_apple: bool) -> str:
    """Of QuickTime: length, language, text. Of 3GP: version, language, text up to a NUL."""
    if is_apple:
        length = int.from_bytes(content[:2], "big")
        return decoded(content[4 : 4 + length]).strip("\0 ")
    text = content[6:]
    if text[:2] in {b"\xfe\xff", b"\xff\xfe"}:
        return text.decode("utf-16", errors="replace").partition("\0")[0]
    return decoded(text.partition(b"\0")[0])


def _read_3gp_position(content: bytes, header: AvHeader) -> None:
    """3GPP TS 26.244, 8.2: version, language, name, role, longitude, latitude, altitude."""
    end = content.find(b"\0", 6)
    if end < 0 or end + 10 > len(content) or header.position:
        return
    longitude, latitude = struct.unpack_from(">ii", content, end + 2)
    header.position = f"{latitude / 65536:+09.5f}{longitude / 65536:+010.5f}/"


def read_meta(window: Window, meta: Box, header: AvHeader) -> None:
    """Items of iTunes by four characters, or of QuickTime by the number of their key."""
    start = meta.start
    # A full box in MP4 (a version before the first box), and not one in QuickTime.
    if meta.end - start >= 8 and window.read(start + 4, 4) != b"hdlr":
        start += 4
    keys: list[bytes] = []
    for box in boxes(window, start, meta.end):
        if box.name == b"keys":
            keys = _keys(window, box)
        elif box.name == b"ilst":
            _read_items(window, box, keys, header)


def _keys(window: Window, box: Box) -> list[bytes]:
    content, at = _text_of(window, box), 8
    keys: list[bytes] = []
    while at + 8 <= len(content) and len(keys) < _MAX_KEYS:
        length = int.from_bytes(content[at : at + 4], "big")
        if length < 8:
            break
        keys.append(content[at + 8 : at + length])
        at += length
    return keys


def _read_items(window: Window, ilst: Box, keys: list[bytes], header: AvHeader) -> None:
    for item in boxes(window, ilst.start, ilst.end):
        number = int.from_bytes(item.name, "big")
        key = keys[number - 1] if 0 < number <= len(keys) else None
        keep = _KEYS.get(key.removeprefix(_APPLE)) if key else _NAMES.get(item.name)
        if keep is None and item.name != b"covr":
            continue
        for data in boxes(window, item.start, item.end):
            if data.name != b"data" or data.end - data.start < 8:
                continue
            if item.name == b"covr" and not header.cover:
                header.cover = Cover(data.start + 8, data.end - data.start - 8)
            elif keep is not None:
                keep(header, decoded(_text_of(window, data)[8:]).strip("\0 "))
            break
