"""Vorbis comments, which FLAC, Vorbis, Opus, Theora and Speex share (xiph.org/vorbis/doc)."""

from __future__ import annotations

from media_enricher.probe.av.header import AvHeader

_MAX_COMMENTS = 1_000
_MAX_TEXT = 16 * 1024
PICTURE = "METADATA_BLOCK_PICTURE"


def read(block: bytes, header: AvHeader) -> None:
    """Fill in what the comments say, as far as they are held."""
    vendor = int.from_bytes(block[:4], "little")
    at = 4 + vendor
    count = int.from_bytes(block[at : at + 4], "little")
    at += 4
    for _ in range(min(count, _MAX_COMMENTS)):
        if at + 4 > len(block):
            return
        length = int.from_bytes(block[at : at + 4], "little")
        comment = block[at + 4 : at + 4 + min(length, _MAX_TEXT)]
        at += 4 + length
        if at > len(block):
            return  # a value that is cut is no value
        name, equals, value = comment.decode("utf-8", errors="replace").partition("=")
        if equals:
            _keep(header, name.upper(), value.strip())


def _keep(header: AvHeader, name: str, value: str) -> None:
    if not value:
        return
    if name == "TITLE":
        header.title = header.title or value
    elif name in {"ARTIST", "PERFORMER", "AUTHOR"}:
        header.creator = f"{header.creator}; {value}" if header.creator else value
    elif name in {"DESCRIPTION", "COMMENT"}:
        header.description = header.description or value
    elif name in {"COPYRIGHT", "LICENSE"}:
        header.copyright = header.copyright or value
    elif name == "DATE":
        header.taken = header.taken or value
