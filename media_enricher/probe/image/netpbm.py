"""Netpbm's comments, which Pillow takes away one by one, copying what follows each time."""

from __future__ import annotations

import re

from media_enricher.models import ErrorCode
from media_enricher.probe.source import Buffer, UnreadableError

_MAX_HEAD = 64 * 1024
_MAX_PLAIN = 64 * 1024 * 1024
_BLOCK = 1024 * 1024
"""Comments are taken out of as much at once: each leaves an object behind until they are joined."""

_PLAIN = {b"P1", b"P2", b"P3"}
_BITMAPS = {b"P1", b"P4"}
_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*+[\r\n])*+[^\s#]++")
_COMMENT = re.compile(rb"#[^\r\n]*+")
_LINE_END = re.compile(rb"[\r\n]")


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
