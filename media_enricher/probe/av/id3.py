"""ID3 tags of sound files (id3.org: ID3v1, ID3v2.2, 2.3 and 2.4)."""

from __future__ import annotations

from media_enricher.probe.av.header import AvHeader, Cover
from media_enricher.probe.source import Window

_MAX_FRAMES = 1_000
_MAX_TEXT = 16 * 1024
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")
_FIELDS = {
    b"TIT2": "title", b"TT2": "title", b"TPE1": "creator", b"TP1": "creator",
    b"TCOP": "copyright", b"TCR": "copyright", b"COMM": "description", b"COM": "description",
    b"TXXX": "description", b"TXX": "description",
    b"TDRC": "taken", b"TYER": "taken", b"TYE": "taken", b"TDRL": "taken",
}  # fmt: skip
_WITH_NAME = {b"COMM": 4, b"COM": 4, b"TXXX": 1, b"TXX": 1}
"""Frames of several texts, each of a name, and the bytes before it: encoding and language."""
_PICTURES = {b"APIC": 4, b"PIC": 3}
_FRONT_COVER = 3


def size(window: Window, at: int) -> int:
    """The bytes of the ID3v2 tag at a place, header and footer included; 0 for none."""
    start = (
        window.peek(at, 10) if window.is_complete or at else window.read(at, min(10, window.size))
    )
    if start is None or len(start) < 10 or start[:3] != b"ID3" or start[3] > 4:
        return 0
    if any(byte & 0x80 for byte in start[6:10]):
        return 0
    footer = 10 if start[5] & 0x10 else 0
    return 10 + _of_seven_bits(start[6:10]) + footer


def read(window: Window, at: int, header: AvHeader) -> None:
    """Fill in what the ID3v2 tag at a place says; a picture is passed over by its length."""
    end = min(at + size(window, at), window.size)
    if end <= at:
        return
    version, flags = window.read(at + 3, 1)[0], window.read(at + 5, 1)[0]
    is_short = version == 2
    place = at + 10
    if flags & 0x40 and not is_short:  # an extended header
        stated = window.read(place, 4)
        place += _of_seven_bits(stated) if version == 4 else 4 + int.from_bytes(stated, "big")
    head = 6 if is_short else 10
    for _ in range(_MAX_FRAMES):
        if place + head > end:
            return
        frame = window.read(place, head)
        name = frame[: 3 if is_short else 4]
        if not name.strip(b"\0"):
            return
        if is_short:
            length = int.from_bytes(frame[3:6], "big")
        elif version == 4:
            length = _of_seven_bits(frame[4:8])
        else:
            length = int.from_bytes(frame[4:8], "big")
        content = place + head
        is_plain = is_short or not frame[9] & (0x0F if version == 4 else 0xE0)
        if is_plain and content + length <= end:
            unsynchronised = bool(flags & 0x80)
            _keep(window, name, content, length, header, unsynchronised=unsynchronised)
        place = content + length


def _keep(
    window: Window, name: bytes, at: int, length: int, header: AvHeader, *, unsynchronised: bool
) -> None:
    if name in _PICTURES and not unsynchronised:
        _keep_picture(window, at, length, header, is_short=name == b"PIC")
        return
    field = _FIELDS.get(name)
    if field is None or length < 2 or getattr(header, field):
        return
    content = window.read(at, min(length, _MAX_TEXT))
    if unsynchronised:
        content = content.replace(b"\xff\0", b"\xff")
    is_named = name in _WITH_NAME
    text = _comment(name, content) if is_named else _text(content[0], content[1:])
    if text:
        setattr(header, field, text)


def _text(encoding: int, data: bytes) -> str:
    """The first of the texts of a frame, all of which end with NUL."""
    if encoding >= len(_ENCODINGS):
        return ""
    texts = data.decode(_ENCODINGS[encoding], errors="replace").lstrip("\ufeff").split("\0")
    return "; ".join(text.strip() for text in texts if text.strip())


def _comment(frame: bytes, content: bytes) -> str:
    """The comment that people wrote; programs keep numbers of their own in comments with names."""
    if content[0] >= len(_ENCODINGS):
        return ""
    encoded = content[_WITH_NAME[frame] :]
    name, _, text = encoded.decode(_ENCODINGS[content[0]], errors="replace").partition("\0")
    name, text = name.strip("\ufeff ").lower(), text.strip("\ufeff\0 ")
    is_comment = name in {"comment", "description"} if frame[:2] == b"TX" else name == ""
    return text if is_comment else ""


def _keep_picture(
    window: Window, at: int, length: int, header: AvHeader, *, is_short: bool
) -> None:
    """Note where a picture lies; the front cover goes before any other."""
    start = window.read(at, min(length, 512))
    encoding = start[0]
    if is_short:
        kind_at = 4
    else:
        end = start.find(b"\0", 1)
        if end < 0:
            return
        kind_at = end + 1
    if kind_at >= len(start):
        return
    kind = start[kind_at]
    end_mark = b"\0\0" if encoding in {1, 2} else b"\0"
    end = start.find(end_mark, kind_at + 1)
    while encoding in {1, 2} and end >= 0 and (end - kind_at - 1) % 2:
        end = start.find(end_mark, end + 1)
    if end < 0:
        return
    data = end + len(end_mark)
    if header.cover is None or kind == _FRONT_COVER:
        header.cover = Cover(at + data, length - data)


def read_v1(window: Window, header: AvHeader) -> None:
    """Fill in what is still unknown from the last 128 bytes, where those are held."""
    tag = window.peek(window.size - 128, 128) if window.size >= 128 else None
    if tag is None or tag[:3] != b"TAG":
        return
    header.title = header.title or _fixed(tag[3:33])
    header.creator = header.creator or _fixed(tag[33:63])
    header.taken = header.taken or _fixed(tag[93:97])


def _fixed(data: bytes) -> str | None:
    return data.partition(b"\0")[0].decode("latin-1").strip() or None


def _of_seven_bits(data: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(data)))
