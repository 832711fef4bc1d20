"""PNG (W3C, third edition) read chunk by chunk: Pillow reads what follows the pixels only by
decoding them.
"""

from __future__ import annotations

import re
import struct
import zlib

from media_enricher.models import ErrorCode
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.blocks import MAX_BLOCK
from media_enricher.probe.metadata.texts import decoded
from media_enricher.probe.source import Buffer, UnreadableError, Window

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHUNK = struct.Struct(">I4s")
_MAX_CHUNKS = 100_000
_MAX_INFLATED = 16 * 1024 * 1024
"""Of all packed chunks of one file together: ten thousand small ones may each hold megabytes."""
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_RAW_PROFILE = re.compile(rb"raw profile type (?:exif|app1|app13|iptc|8bim|xmp)", re.I)
_RAW_DIGITS = re.compile(rb"\s*+\S++(?: profile)?\s++\d++\s++")
"""ImageMagick's way of keeping binary in text: a name, a length, then hexadecimal digits. exiftool
calls it `IPTC profile`."""
_KEPT_TEXTS = frozenset({"title", "description", "author", "copyright"})
_PIXELS = re.compile(rb"IDAT")
_LEAST_TAIL = 16 * 1024
_MOST_TAIL = 1024 * 1024

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
_COLOUR_UNIT = 100_000
_GAMMAS = 0.1, 10.0
"""Below and above, a picture is black or white whatever it shows."""
_ALPHA_TYPES = {4, 6}


def read(window: Window, header: ImageHeader) -> None:
    """Read every chunk but the pixels, those behind the pixels included.

    Orientation and texts may stand there.
    """
    at = read_start(window.read(8, 25), header)
    longest: int | None = None
    for _ in range(_MAX_CHUNKS):
        if at + 8 > window.size:
            break
        start = window.peek(at, 8)
        if start is None:
            behind = at if longest is None else _last_pixels(window, at, longest)
            if behind is None:
                header.is_cut = True
                break
            at, start = behind, window.read(behind, 8)
        length, name = _CHUNK.unpack(start)
        if name == b"IEND":
            break
        if name == b"IDAT":
            longest = max(longest or 0, length)
        elif name in _READERS and length <= MAX_BLOCK and at + 8 + length <= window.size:
            _READERS[name](window.read(at + 8, length), header)
        at += 12 + length
    # An animation and a transparent colour are announced before the pixels.
    header.has_alpha = bool(header.has_alpha)
    if header.frame_count is None:
        header.frame_count, header.is_animated = 1, False


def _last_pixels(window: Window, at: int, longest: int) -> int | None:
    """Where the last chunk of pixels begins.

    A PNG may have thousands of such chunks, so they are not read one by one. The end of the file
    is read as far back as a chunk of pixels is long. What leads from `IDAT` to `IEND` by the
    lengths that stand there are chunks.

    Args:
        window: the file.
        at: the offset of a chunk that is not held.
        longest: the length of the longest chunk of pixels so far.

    Returns:
        Its offset; `at` where the end of the file is near, and None where there is no such chunk.

    Raises:
        MoreBytesError: the end is not held.
    """
    tail = min(longest, _MOST_TAIL) + _LEAST_TAIL
    first = window.size - tail
    if at >= first:
        window.read(at, window.size - at)
        return at
    end = window.read(first, tail)
    strays: set[int] = set()
    for match in reversed(list(_PIXELS.finditer(end))):
        start = match.start() - 4
        if start >= 0 and _leads_to_end(end, start, strays):
            return first + start
    return None


def _leads_to_end(data: bytes, at: int, strays: set[int]) -> bool:
    """Whether chunk follows chunk up to `IEND`; `strays` are offsets from which that is not so."""
    passed = []
    while at + 8 <= len(data) and at not in strays:
        length, name = _CHUNK.unpack_from(data, at)
        if name == b"IEND":
            return True
        passed.append(at)
        if not name.isalpha():
            break
        at += 12 + length
    strays.update(passed)
    return False


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


def _block(content: bytes, header: ImageHeader) -> None:
    header.keep(content)


def _profile(content: bytes, header: ImageHeader) -> None:
    _, _, packed = content.partition(b"\0")
    if header.icc is None:
        header.icc = _inflated(packed[1:], header)


def _coded_colours(content: bytes, header: ImageHeader) -> None:
    if len(content) == 4:
        header.coded_colours = content[0], content[1]


def _srgb(_: bytes, header: ImageHeader) -> None:
    header.is_srgb = True


def _gamma(content: bytes, header: ImageHeader) -> None:
    if len(content) != 4:
        return
    gamma = int.from_bytes(content, "big") / _COLOUR_UNIT
    if _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        header.gamma = gamma


def _chromaticities(content: bytes, header: ImageHeader) -> None:
    if len(content) == 32:
        header.chromaticities = tuple(
            number / _COLOUR_UNIT for number in struct.unpack(">8I", content)
        )


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
    b"eXIf": _block,
    b"caBX": _block,
    b"iCCP": _profile,
    b"cICP": _coded_colours,
    b"sRGB": _srgb,
    b"gAMA": _gamma,
    b"cHRM": _chromaticities,
    b"tEXt": _text,
    b"zTXt": _packed_text,
    b"iTXt": _international_text,
}


def _is_kept(keyword: bytes) -> bool:
    """Whether a text is worth inflating: some tools keep megabytes in one."""
    return (
        keyword == _XMP_KEYWORD
        or _RAW_PROFILE.fullmatch(keyword) is not None
        or decoded(keyword).lower() in _KEPT_TEXTS
    )


def _keep(keyword: bytes, text: bytes, header: ImageHeader) -> None:
    if keyword == _XMP_KEYWORD:
        header.keep(text)
    elif _RAW_PROFILE.fullmatch(keyword):
        header.keep(_raw_profile(text))
    else:
        name = decoded(keyword).lower()
        if name in _KEPT_TEXTS:
            header.texts.setdefault(name, decoded(text))


def _raw_profile(text: bytes) -> bytes:
    """The bytes that the digits stand for; none where they are no digits."""
    start = _RAW_DIGITS.match(text)
    try:
        return bytes.fromhex(text[start.end() :].decode("ascii")) if start else b""
    except ValueError:
        return b""


def _inflated(packed: bytes, header: ImageHeader) -> bytes | None:
    room = min(MAX_BLOCK, _MAX_INFLATED - header.inflated_bytes)
    if room <= 0:
        return None
    try:
        text = zlib.decompressobj().decompress(packed, room)
    except zlib.error:
        header.inflated_bytes += MAX_BLOCK  # it may have inflated as much before it broke
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
