"""Raw files of cameras: which they are by their bytes, the size shown, and the embedded preview.

Most are TIFFs (DNG 1.7, chapter 2) whose directories hold the sensor's values, and beside them a
JPEG that the camera made. Sensor values are not developed: that JPEG is what a viewer shows first,
and what placeholders and colours come from. ORF and RW2 are TIFFs with another signature, RAF is a
container of Fujifilm's, CR3 one of ISO base media.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from media_enricher.models import ErrorCode
from media_enricher.probe.image import jpeg
from media_enricher.probe.image.header import ImageHeader
from media_enricher.probe.metadata.directories import ASCII, Directory, Tiff
from media_enricher.probe.source import Buffer, MoreBytesError, UnreadableError, Window

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP, _STRIP_BYTES, _JPEG, _JPEG_BYTES = 273, 279, 513, 514
_SUBFILE, _MAKE, _SUB_DIRECTORIES, _EXIF = 254, 271, 330, 0x8769
_DNG_VERSION, _DNG_SIZE = 50706, 50720
_EXIF_WIDTH, _EXIF_HEIGHT = 0xA002, 0xA003
_PANASONIC_TOP, _PANASONIC_JPEG = 4, 0x2E
_WANTED = frozenset(
    {
        *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP, _STRIP_BYTES, _JPEG),
        *(_JPEG_BYTES, _SUBFILE, _MAKE, _SUB_DIRECTORIES, _EXIF, _DNG_VERSION, _DNG_SIZE),
        *(_PANASONIC_TOP, 5, 6, 7, _PANASONIC_JPEG),
    }
)
_SENSOR = frozenset({32803, 34892})
"""PhotometricInterpretation of a colour filter array, and of one colour a pixel or more."""
_JPEG_COMPRESSIONS = frozenset({6, 7})
_OLYMPUS, _PANASONIC = (b"IIRO", b"IIRS", b"MMOR"), b"IIU\0"
_CR2_MARK = b"CR"

_MAKERS = {
    b"CANON": ("cr2", "image/x-canon-cr2"),
    b"NIKON": ("nef", "image/x-nikon-nef"),
    b"SONY": ("arw", "image/x-sony-arw"),
    b"PENTAX": ("pef", "image/x-pentax-pef"),
    b"RICOH": ("pef", "image/x-pentax-pef"),
    b"SAMSUNG": ("srw", "image/x-samsung-srw"),
}
_BY_BYTES = frozenset(name for name, _ in _MAKERS.values()) | {"dng"}
"""Formats that are told by their bytes: without these, a file of that name is a TIFF."""

_MAX_CHAIN, _MAX_CHILDREN = 8, 8
_LEAST_SHOWN = 0.7
"""Cameras cut a little off the sensor's picture; a size below this is that of something else."""
_MAX_CANDIDATES = 200
_SEARCHED = 64 * 1024 * 1024

_RAF_JPEG = struct.Struct(">IIII")
_RAF_JPEG_AT, _RAF_HEAD = 84, 128
_RAF_RECORD = struct.Struct(">HH")
_RAF_CUT_SIZE, _RAF_FULL_SIZE = 0x0111, 0x0100
_MAX_RAF_RECORDS = 500
_PREVIEW_START = 128 * 1024
"""Of a preview: its EXIF and its frame header."""


def read_directories(tiff: Tiff, header: ImageHeader) -> None:
    """If a TIFF is a raw file, say of which kind, how large it is shown, and where the preview is.

    Raises:
        MoreBytesError: a directory lies outside of the window.
    """
    directories = list(_directories(tiff))
    first = directories[0]
    kind = _kind(tiff, directories, header.format)
    if kind is None:
        if header.format in _BY_BYTES:
            header.format, header.content_type = "tiff", "image/tiff"
        return
    header.format, header.content_type = kind
    header.frame_count, header.is_animated = 1, False
    header.is_truncated = False
    header.has_alpha, header.mode = False, "RGB"
    main = _main(tiff, directories)
    size = _shown_size(tiff, first, main, header.format)
    if size is not None:
        header.width, header.height = size
    header.bit_depth = tiff.number(main, _BITS) or header.bit_depth
    header.preview = _preview(tiff, directories)
    if header.preview is None and not _is_picture(tiff, first):
        header.preview = _searched(tiff.window)
    if header.preview is not None:
        header.is_turned_by_decoder = False


def _directories(tiff: Tiff) -> Iterator[Directory]:
    """The first directories of the chain, each followed by those below it."""
    for number, directory in enumerate(tiff.chain(_WANTED)):
        if number == _MAX_CHAIN:
            return
        yield directory
        for offset in tiff.children(directory, _SUB_DIRECTORIES, _MAX_CHILDREN):
            yield tiff.directory(offset, _WANTED)


def _kind(tiff: Tiff, directories: list[Directory], named: str) -> tuple[str, str] | None:
    """The format's name and its content type; None for a TIFF that is none of a camera."""
    first = directories[0]
    by_mark = _kind_by_mark(tiff, first)
    if by_mark is not None:
        return by_mark
    if not any(tiff.number(each, _PHOTOMETRIC) in _SENSOR for each in directories):
        return None
    make = first.entries.get(_MAKE)
    maker = tiff.raw(make, 64).upper() if make is not None and make.type == ASCII else b""
    for name, kind in _MAKERS.items():
        if maker.startswith(name):
            return kind if named in {"tiff", kind[0]} else (named, _OTHERS.get(named, kind[1]))
    return (named, _OTHERS[named]) if named in _OTHERS else None


def _kind_by_mark(tiff: Tiff, first: Directory) -> tuple[str, str] | None:
    """Of the formats that have a signature or a tag of their own."""
    start = tiff.window.read(tiff.start, min(tiff.window.size, 12))
    if start[:4] in _OLYMPUS:
        return "orf", "image/x-olympus-orf"
    if start[:4] == _PANASONIC:
        return "rw2", "image/x-panasonic-rw2"
    if start[8:10] == _CR2_MARK:
        return _MAKERS[b"CANON"]
    return ("dng", "image/x-adobe-dng") if _DNG_VERSION in first.entries else None


_OTHERS = {
    "3fr": "image/x-hasselblad-3fr",
    "erf": "image/x-epson-erf",
    "iiq": "image/x-phaseone-iiq",
    "kdc": "image/x-kodak-kdc",
    "mef": "image/x-mamiya-mef",
    "mos": "image/x-leaf-mos",
    "nrw": "image/x-nikon-nrw",
    "sr2": "image/x-sony-sr2",
}
"""Raw formats that only their names tell apart."""


def _main(tiff: Tiff, directories: list[Directory]) -> Directory:
    """The directory of the sensor's picture: the largest of those, or of all."""
    sensor = [each for each in directories if tiff.number(each, _PHOTOMETRIC) in _SENSOR]
    return max(sensor or directories, key=lambda each: _area(tiff, each))


def _area(tiff: Tiff, directory: Directory) -> int:
    return (tiff.number(directory, _WIDTH) or 0) * (tiff.number(directory, _HEIGHT) or 0)


def _shown_size(tiff: Tiff, first: Directory, main: Directory, name: str) -> tuple[int, int] | None:
    """What a developed picture has, which is a little less than the sensor."""
    if name == "rw2":
        edges = [tiff.number(first, _PANASONIC_TOP + number) for number in range(4)]
        top, left, bottom, right = (edge or 0 for edge in edges)
        return (right - left, bottom - top) if right > left and bottom > top else None
    full = (0, 0)
    if name != "cr2":
        full = tiff.number(main, _WIDTH) or 0, tiff.number(main, _HEIGHT) or 0
        cut = main.entries.get(_DNG_SIZE)
        if name == "dng" and cut is not None and cut.length == 2:
            numbers = tiff.numbers(cut)
            pairs = numbers if len(numbers) == 2 else _quotients(numbers)
            full = int(pairs[0]), int(pairs[1])
            return full if all(full) else None
    if not all(full):
        full = tiff.number(first, _WIDTH) or 0, tiff.number(first, _HEIGHT) or 0
    stated = _exif_size(tiff, first)
    if stated and all(
        _LEAST_SHOWN * most <= each <= most for each, most in zip(stated, full, strict=True)
    ):
        return stated
    return full if all(full) else None


def _quotients(numbers: tuple[float, ...]) -> tuple[float, float]:
    across, by, down, under = numbers[:4]
    return (across / by, down / under) if by and under else (0, 0)


def _exif_size(tiff: Tiff, first: Directory) -> tuple[int, int] | None:
    for offset in tiff.children(first, _EXIF, 1):
        exif = tiff.directory(offset, {_EXIF_WIDTH, _EXIF_HEIGHT})
        width, height = tiff.number(exif, _EXIF_WIDTH), tiff.number(exif, _EXIF_HEIGHT)
        if width and height:
            return width, height
    return None


def _preview(tiff: Tiff, directories: list[Directory]) -> tuple[int, int] | None:
    """The longest JPEG that a directory names."""
    found = [each for directory in directories for each in _previews(tiff, directory)]
    return max(found, key=lambda each: each[1], default=None)


def _previews(tiff: Tiff, directory: Directory) -> Iterator[tuple[int, int]]:
    size = tiff.window.size
    named = [(tiff.number(directory, _JPEG), tiff.number(directory, _JPEG_BYTES))]
    strip = directory.entries.get(_STRIP)
    if (
        tiff.number(directory, _COMPRESSION) in _JPEG_COMPRESSIONS
        and tiff.number(directory, _PHOTOMETRIC) not in _SENSOR
        and strip is not None
        and strip.length == 1
        and tiff.number(directory, _SUBFILE) != 0
    ):
        named.append((tiff.number(directory, _STRIP), tiff.number(directory, _STRIP_BYTES)))
    for at, length in named:
        if at and length and tiff.start + at + length <= size:
            yield tiff.start + at, length
    entry = directory.entries.get(_PANASONIC_JPEG)
    if entry is not None and entry.size > 4 and tiff.window.peek(0, 4) == _PANASONIC:
        yield entry.at, entry.size


def _is_picture(tiff: Tiff, first: Directory) -> bool:
    """Whether the first directory holds plain colours, which Pillow decodes as of any TIFF."""
    photometric = tiff.number(first, _PHOTOMETRIC)
    return photometric is not None and photometric not in _SENSOR


def _searched(window: Window) -> tuple[int, int] | None:
    """The largest JPEG anywhere in the file, where no directory that is known names one.

    Olympus names its preview in notes of its own. Each start of a JPEG is looked at once.
    """
    if not window.is_complete:
        return None
    searched = bytes(window.data[:_SEARCHED])
    best: tuple[int, int] | None = None
    most = at = 0
    for _ in range(_MAX_CANDIDATES):
        at = searched.find(b"\xff\xd8\xff", at)
        if at < 0:
            break
        start = searched[at : at + _PREVIEW_START]
        found = ImageHeader(format="jpeg")
        try:
            jpeg.read(Window(start), found)
        except UnreadableError:
            found.width = None
        if found.width and found.height and found.width * found.height > most:
            most = found.width * found.height
            best = at, window.size - at
        at += 2
    return best


def preview_of(data: Buffer, header: ImageHeader) -> tuple[Buffer, ImageHeader]:
    """The embedded JPEG, and its own header.

    Raises:
        UnreadableError: there is none, or it can't be read.
    """
    if header.preview is None:
        raise UnreadableError(
            ErrorCode.UNSUPPORTED_TYPE,
            f"The {header.format} file has no JPEG preview, and its sensor values are not "
            "developed here.",
        )
    at, length = header.preview
    embedded = bytes(data[at : at + length])
    found = ImageHeader(format="jpeg")
    jpeg.read(Window(embedded), found)
    return embedded, found


def read_raf(window: Window, header: ImageHeader) -> None:
    """Read Fujifilm's RAF: the embedded JPEG, which holds the EXIF, and the size of the picture.

    The layout is that of ExifTool's FujiFilm.pm.
    """
    window.read(0, _RAF_HEAD)
    jpeg_at, jpeg_bytes, records_at, records_bytes = window.unpack(_RAF_JPEG, _RAF_JPEG_AT)
    header.mode, header.bit_depth, header.has_alpha = "RGB", None, False
    header.frame_count, header.is_animated = 1, False
    if not jpeg_at or jpeg_at + jpeg_bytes > window.size:
        raise UnreadableError(
            ErrorCode.TRUNCATED,
            f"The file ends at byte {window.size:,}, and its preview at {jpeg_at + jpeg_bytes:,}.",
        )
    header.preview = jpeg_at, jpeg_bytes
    embedded = ImageHeader(format="jpeg")
    start = window.read(jpeg_at, min(jpeg_bytes, _PREVIEW_START))
    try:
        jpeg.read(Window(start, jpeg_bytes), embedded)
    except MoreBytesError:
        header.is_cut = True
    header.blocks += embedded.blocks
    header.width, header.height = embedded.width, embedded.height
    size = _raf_size(window, records_at, records_bytes)
    if size is not None:
        header.width, header.height = size
    if header.width is None:
        raise UnreadableError(ErrorCode.CORRUPT, "The RAF file names no size.")


def _raf_size(window: Window, at: int, length: int) -> tuple[int, int] | None:
    """The size after cutting; height comes first."""
    if not at or length < 4 or at + length > window.size:
        return None
    (count,) = window.unpack(struct.Struct(">I"), at)
    end = at + length
    at += 4
    found: dict[int, tuple[int, int]] = {}
    for _ in range(min(count, _MAX_RAF_RECORDS)):
        if at + 4 > end:
            break
        tag, size = window.unpack(_RAF_RECORD, at)
        if tag in {_RAF_CUT_SIZE, _RAF_FULL_SIZE} and size == 4 and at + 8 <= end:
            height, width = window.unpack(_RAF_RECORD, at + 4)
            if width and height:
                found[tag] = width, height
        at += 4 + size
    return found.get(_RAF_CUT_SIZE) or found.get(_RAF_FULL_SIZE)
