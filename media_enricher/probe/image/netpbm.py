"""Netpbm (PBM, PGM, PPM, PAM, PFM): the header, and comments.

Pillow takes comments away one by one, copying what follows each time, and knows not all kinds.
"""

from __future__ import annotations

import re

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import Buffer, UnreadableError, Window

_MAX_HEAD = 64 * 1024
_MAX_PLAIN = 64 * 1024 * 1024
_BLOCK = 1024 * 1024
"""Comments are taken out of as much at once: each leaves an object behind until they are joined."""

_PLAIN = {b"P1", b"P2", b"P3"}
_BITMAPS = {b"P1", b"P4"}
_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*+[\r\n])*+[^\s#]++")
_COMMENT = re.compile(rb"#[^\r\n]*+")
_LINE_END = re.compile(rb"[\r\n]")


_PAM_FIELD = re.compile(rb"(?:\s|#[^\r\n]*+[\r\n])*+([A-Z]++)[ \t]*+([^\r\n]*+)[\r\n]")
_MAX_PAM_FIELDS = 1_000
_DIGITS = re.compile(rb"[0-9]{1,9}")
_COLOURS = {b"P3", b"P6", b"PF"}
_FLOATS = {b"PF", b"Pf"}


def read(window: Window, header: ImageHeader) -> None:
    """Read size and depth.

    Raises:
        UnreadableError: the header is long or makes no sense, or Pillow lacks this kind.
    """
    check(window.data)
    head = window.read(0, min(window.size, _MAX_HEAD, max(window.held, 512)))
    kind = head[:2]
    header.has_alpha, header.frame_count, header.is_animated = False, 1, False
    if kind == b"P7":
        _read_pam(head, header)
    elif (numbers := _numbers(head, 2 if kind in _BITMAPS | _FLOATS else 3)) is not None:
        header.width, header.height = numbers[:2]
        header.mode = "RGB" if kind in _COLOURS else "1" if kind in _BITMAPS else "L"
        if kind in _FLOATS:
            header.bit_depth = 32
        elif len(numbers) == 3 and numbers[2] > 255:
            header.bit_depth = numbers[2].bit_length()
    if kind in {b"P7", b"PF"} and header.width and header.height:
        name = "PAM" if kind == b"P7" else "PFM of colours"
        raise UnreadableError(ErrorCode.UNSUPPORTED_TYPE, f"A {name}, which nothing here decodes.")


def _numbers(head: bytes, count: int) -> list[int] | None:
    """The numbers behind the kind; None where one is missing or none."""
    numbers: list[int] = []
    at = 2
    while len(numbers) < count:
        token = _TOKEN.match(head, at)
        digits = _DIGITS.search(token[0].rpartition(b"\n")[2]) if token else None
        if token is None or digits is None:
            return None
        numbers.append(int(digits[0]))
        at = token.end()
    return numbers


def _read_pam(head: bytes, header: ImageHeader) -> None:
    """PAM's header is lines of a name and a value, up to ENDHDR."""
    fields: dict[bytes, bytes] = {}
    at = 2
    for _ in range(_MAX_PAM_FIELDS):
        line = _PAM_FIELD.match(head, at)
        if line is None or line[1] == b"ENDHDR":
            break
        fields.setdefault(line[1], line[2].strip())
        at = line.end() - 1

    def number(name: bytes) -> int | None:
        found = _DIGITS.fullmatch(fields.get(name, b""))
        return int(found[0]) if found else None

    header.width, header.height = number(b"WIDTH") or None, number(b"HEIGHT") or None
    if header.width is None or header.height is None:
        raise UnreadableError(ErrorCode.CORRUPT, "The PAM file names no size.")
    header.bit_depth = max((number(b"MAXVAL") or 255).bit_length(), 1)
    depth = number(b"DEPTH") or 3
    header.has_alpha = fields.get(b"TUPLTYPE", b"").endswith(b"_ALPHA")
    colours = "L" if depth < 3 else "RGB"
    header.mode = f"{colours}A" if header.has_alpha else colours


def check(data: Buffer) -> None:
    """Check that the head is short.

    Raises:
        UnreadableError: it is long, by comments or blanks.
    """
    if _head_bytes(data) is None and len(data) >= _MAX_HEAD:
        raise UnreadableError(
            ErrorCode.CORRUPT, f"The header of the Netpbm file is longer than {_MAX_HEAD:,} bytes."
        )


def without_comments(data: Buffer) -> Buffer:
    """The file with no comment among its pixels, where these are text.

    Raises:
        UnreadableError: so much text that reading it takes many seconds.
    """
    head_bytes = _head_bytes(data)
    if head_bytes is None or bytes(data[:2]) not in _PLAIN:
        return data
    if len(data) > _MAX_PLAIN:
        raise UnreadableError(
            ErrorCode.TOO_MANY_PIXELS,
            f"The pixels are {len(data):,} bytes of text; at most {_MAX_PLAIN:,} are read. "
            "Save the picture as binary Netpbm or PNG.",
        )
    kept = bytearray(data[:head_bytes])
    is_in_comment = False
    for at in range(head_bytes, len(data), _BLOCK):
        block = bytes(data[at : at + _BLOCK])
        if is_in_comment:
            line_end = _LINE_END.search(block)
            if line_end is None:
                continue
            block = block[line_end.start() :]
        kept += _COMMENT.sub(b"", block)
        is_in_comment = block.rfind(b"#") > max(block.rfind(b"\n"), block.rfind(b"\r"))
    return bytes(kept)


def _head_bytes(data: Buffer) -> int | None:
    """How many bytes the kind, the size and the largest value take."""
    head = bytes(data[:_MAX_HEAD])
    at = 0
    for _ in range(3 if head[:2] in _BITMAPS else 4):
        token = _TOKEN.match(head, at)
        if token is None or token.end() == len(head):
            return None
        at = token.end()
    return at
