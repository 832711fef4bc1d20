"""Damage within the first picture of a WebP, which libwebp passes over.

A picture is one arithmetic or Huffman coded stream without checksums (RFC 6386, 7; RFC 9649, 3).
A decoder that has lost its way still makes a picture, and it ends at another place: where it would
read past the end it fails. Where it stops before the end, nobody notices. So the stream is decoded
without its last bytes: of a sound picture that must fail. Of a still picture `webp_decoder` asks
on the way; here a copy is decoded, for those that Pillow decodes.
"""

from __future__ import annotations

import struct

from media_enricher.probe.image import webp
from media_enricher.probe.image.decoders import open_image, refusals
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.source import MoreBytesError, UnreadableError, Window

MOST_PIXELS = 2_000_000
"""Of larger pictures it is not asked, for it takes as long as decoding does."""
CUT = 16
"""Bytes. Encoders fill up the last word, and decoders read ahead: up to 3 bytes of sound pictures
are not missed."""
LEAST = 256
"""Bytes of a stream that is asked about."""
_CHUNK = struct.Struct("<4sI")


def is_damaged(window: Window) -> bool:
    """Whether the first picture's stream goes on behind what its decoder needed.

    Args:
        window: on a whole file, of which the header was read.
    """
    picture = webp.first_picture(window)
    if picture is None or picture.length < LEAST or picture.end > window.size:
        return False
    kept = picture.length - CUT
    stream = window.read(picture.start, kept) + bytes(kept % 2)
    content = b"WEBP" + _CHUNK.pack(picture.name, kept) + stream
    return _decodes(_CHUNK.pack(b"RIFF", len(content)) + content)


def _decodes(data: bytes) -> bool:
    """Whether libwebp makes a picture of it; false of a large one."""
    header = ImageHeader(format="webp")
    try:
        webp.read(Window(data), header)
        width, height = header.size_to_decode()
        if width * height > MOST_PIXELS:
            return False
        with open_image("webp", data) as picture, refusals("webp"):
            picture.load()
    except (UnreadableError, MoreBytesError):
        return False
    return True
