"""PNG (W3C, third edition) read chunk by chunk: Pillow reads what follows the pixels only by
decoding them.
"""

from __future__ import annotations

import struct
import zlib

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.texts import decoded
from media_enricher.probe.source import Buffer, UnreadableError, Window

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHUNK = struct.Struct(">I4s")
_MAX_METADATA = 4 * 1024 * 1024
_MAX_CHUNKS = 100_000
_MAX_INFLATED = 16 * 1024 * 1024
"""Of all packed chunks of one file together: ten thousand small ones may each hold megabytes."""
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_RAW_EXIF = (b"Raw profile type exif", b"Raw profile type APP1")
_RAW_IPTC = b"Raw profile type iptc"
_KEPT_TEXTS = {"title", "description"}

# (colour type, bits) -> Pillow's mode; other combinations do not exist.
_MODES = {
    (0, 1): "1",
    (0, 2): "L",
    (0, 4): "L",
    (0, 8): "L",
    (0, 16): "I;16",
    (2, 8): "RGB",
    (2, 16): "RGB",
    (3, 1): "P",
    (3, 2): "P",
    (3, 4): "P",
    (3, 8): "P",
    (4, 8): "LA",
    (4, 16): "LA",
    (6, 8): "RGBA",
    (6, 16): "RGBA",
}
_DRAWN = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PALETTE_TYPE = 3
_ALPHA_TYPES = {4, 6}


def read(window: Window, header: ImageHeader) -> None:
    """Read every chunk but the pixels, as far as the window goes."""
    at = read_start(window.read(8, 25), header)
    is_past_head = False
    for _ in range(_MAX_CHUNKS):
        if at + 8 > window.held:
            break
        length, name = _CHUNK.unpack_from(window.data, at)
        if name == b"IEND":
            break
        is_past_head = is_past_head or name == b"IDAT"
        if name in _READERS and length <= _MAX_METADATA:
            content = window.peek(at + 8, length)
            if content is not None:
                _READERS[name](content, header)
        at += 12 + length
    # An animation and a transparent colour are announced before the pixels.
    if is_past_head or window.is_complete:
        header.has_alpha = bool(header.has_alpha)
        if header.frame_count is None:
            header.frame_count, header.is_animated = 1, False


def read_start(content: bytes, header: ImageHeader) -> int:
    """Read the first chunk, IHDR.

    Returns:
        Where the second begins.
    """
    length: int
    length, name, width, height, bits, colour_type = struct.unpack_from(">I4sIIBB", content)
    mode = _MODES.get((colour_type, bits))
    if name != b"IHDR" or length != 13 or not mode or not 0 < width < 2**31 > height > 0:
        raise UnreadableError(
            ErrorCode.CORRUPT,
            f"The PNG begins with the chunk {name!r}, {width}x{height} pixels, {bits} bits, "
            f"colour type {colour_type}.",
        )
    header.width, header.height, header.mode = width, height, mode
    header.bit_depth = 8 if colour_type == _PALETTE_TYPE else bits
    header.has_alpha = True if colour_type in _ALPHA_TYPES else None
    return 8 + 12 + length


def _transparency(_: bytes, header: ImageHeader) -> None:
    header.has_alpha = True


def _animation(content: bytes, header: ImageHeader) -> None:
    frames = int.from_bytes(content[:4], "big")
    if 0 < frames < 2**31:
        header.frame_count, header.is_animated = frames, frames > 1


def _exif(content: bytes, header: ImageHeader) -> None:
    header.exif = content


def _profile(content: bytes, header: ImageHeader) -> None:
    _, _, packed = content.partition(b"\0")
    if header.icc is None:
        header.icc = _inflated(packed[1:], header)


def _text(content: bytes, header: ImageHeader) -> None:
    keyword, _, text = content.partition(b"\0")
    _keep(keyword, text, header)


def _packed_text(content: bytes, header: ImageHeader) -> None:
    keyword, _, packed = content.partition(b"\0")
    if _is_kept(keyword):
        _keep(keyword, _inflated(packed[1:], header) or b"", header)


def _international_text(content: bytes, header: ImageHeader) -> None:
    keyword, _, rest = content.partition(b"\0")
    if len(rest) < 2 or not _is_kept(keyword):
        return
    _, _, after_language = rest[2:].partition(b"\0")
    _, _, text = after_language.partition(b"\0")
    _keep(keyword, (_inflated(text, header) or b"") if rest[0] else text, header)


_READERS = {
    b"tRNS": _transparency,
    b"acTL": _animation,
    b"eXIf": _exif,
    b"iCCP": _profile,
    b"tEXt": _text,
    b"zTXt": _packed_text,
    b"iTXt": _international_text,
}


def _is_kept(keyword: bytes) -> bool:
    """Whether a text is worth inflating: some tools keep megabytes in one."""
    named = {_XMP_KEYWORD, *_RAW_EXIF, _RAW_IPTC}
    return keyword in named or decoded(keyword).lower() in _KEPT_TEXTS


def _keep(keyword: bytes, text: bytes, header: ImageHeader) -> None:
    if keyword == _XMP_KEYWORD:
        header.xmp = text
    elif keyword in _RAW_EXIF:
        header.exif = header.exif or _raw_profile(text)
    elif keyword == _RAW_IPTC:
        header.iptc = _raw_profile(text)
    else:
        name = decoded(keyword).lower()
        if name in _KEPT_TEXTS:
            header.texts.setdefault(name, decoded(text))


def _raw_profile(text: bytes) -> bytes | None:
    """ImageMagick's way of keeping binary in text: a name, a length, then hexadecimal digits."""
    lines = text.split(None, 2)
    if len(lines) != 3:
        return None
    try:
        return bytes.fromhex(lines[2].decode("ascii"))
    except ValueError:
        return None


def _inflated(packed: bytes, header: ImageHeader) -> bytes | None:
    room = min(_MAX_METADATA, _MAX_INFLATED - header.inflated_bytes)
    if room <= 0:
        return None
    try:
        text = zlib.decompressobj().decompress(packed, room)
    except zlib.error:
        header.inflated_bytes += _MAX_METADATA  # it may have inflated as much before it broke
        return None
    header.inflated_bytes += len(text)
    return text


def pixels_only(data: Buffer) -> bytes:
    """The PNG without its metadata, at which Pillow gives up if it is large or odd."""
    view = memoryview(data)
    kept = [bytes(view[:8])]
    at = 8
    while at + 8 <= len(view):
        length, name = _CHUNK.unpack_from(view, at)
        end = at + 12 + length
        if name in _DRAWN:
            kept.append(bytes(view[at:end]))
        at = end
    return b"".join(kept)


def check(data: Buffer) -> None:
    """Check the sums of the pixels' chunks, which Pillow passes over. Costs 0.3 ms a megabyte.

    Raises:
        UnreadableError: a chunk is cut (truncated), or is not what was written (corrupt), or there
            are so many that Pillow, which takes 9 µs for each, would take seconds.
    """
    view = memoryview(data)
    at = 8
    chunks = 0
    while at + 8 <= len(view):
        chunks += 1
        if chunks > _MAX_CHUNKS:
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The PNG has more than {_MAX_CHUNKS:,} chunks."
            )
        length, name = _CHUNK.unpack_from(view, at)
        end = at + 8 + length
        if name == b"IEND":
            return
        if end + 4 > len(view):
            raise UnreadableError(
                ErrorCode.TRUNCATED,
                f"The PNG ends at byte {len(view):,}, amid a chunk that goes on to {end + 4:,}.",
            )
        if name == b"IDAT" and zlib.crc32(view[at + 4 : end]) != int.from_bytes(
            view[end : end + 4], "big"
        ):
            raise UnreadableError(
                ErrorCode.CORRUPT, f"The checksum of the PNG's pixels at byte {at:,} is wrong."
            )
        at = end + 4
