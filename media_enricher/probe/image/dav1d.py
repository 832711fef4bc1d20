"""The part of dav1d that libavif hides: the planes of an AV1 picture, without in-loop filters.

Pillow has the whole picture converted to RGB and copied twice. The functions here are in the same
library, found through Pillow's extension module as in `libwebp`; where they are not found,
`decode_planes` gives nothing.

A still picture is predicted from samples before the filters (AV1 specification, 7.11.2), so without
them each sample is a little off, and none drifts; averages stay.

Structures: include/dav1d/*.h, which a major version of the API (7) keeps as they are.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from PIL import Image, _avif

_API = 7
_NO_FILTERS = 0
_EIGHT_BITS = 8
_STRIDES = (0, 1, 1)
_SUBSAMPLING = {1: (2, 2), 2: (2, 1), 3: (1, 1)}
"""Layout -> how many samples of luma one of chroma has, across and down: 4:2:0, 4:2:2, 4:4:4."""

_int, _pointer, _size = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t
_RESERVE = ("reserve", ctypes.c_uint8 * 1024)
"""Of structures of which only the start is used: room for the rest, and more."""


class _Settings(ctypes.Structure):
    _fields_ = (
        ("n_threads", _int),
        ("max_frame_delay", _int),
        ("apply_grain", _int),
        ("operating_point", _int),
        ("all_layers", _int),
        ("frame_size_limit", ctypes.c_uint),
        ("allocator", _pointer * 3),
        ("logger", _pointer * 2),
        ("strict_std_compliance", _int),
        ("output_invisible_frames", _int),
        ("inloop_filters", _int),
        _RESERVE,
    )


class _Data(ctypes.Structure):
    _fields_ = (("data", _pointer), ("size", _size), _RESERVE)


class _SequenceHeader(ctypes.Structure):
    _fields_ = (
        ("profile", ctypes.c_uint8),
        ("max_width", _int),
        ("max_height", _int),
        ("layout", _int),
        ("primaries", _int),
        ("transfer", _int),
        ("matrix", _int),
        ("depth", ctypes.c_uint8),
        ("is_full_range", ctypes.c_uint8),
    )


class _Picture(ctypes.Structure):
    _fields_ = (
        ("sequence", ctypes.POINTER(_SequenceHeader)),
        ("frame", _pointer),
        ("planes", _pointer * 3),
        ("strides", ctypes.c_ssize_t * 2),
        ("width", _int),
        ("height", _int),
        ("layout", _int),
        ("depth", _int),
        _RESERVE,
    )


_FUNCTIONS = {
    "dav1d_default_settings": (None, (_pointer,)),
    "dav1d_open": (_int, (_pointer, _pointer)),
    "dav1d_close": (None, (_pointer,)),
    "dav1d_data_create": (_pointer, (_pointer, _size)),
    "dav1d_data_unref": (None, (_pointer,)),
    "dav1d_send_data": (_int, (_pointer, _pointer)),
    "dav1d_get_picture": (_int, (_pointer, _pointer)),
    "dav1d_picture_unref": (None, (_pointer,)),
}
"""Name -> type of the result, and types of the arguments."""


def _load() -> ctypes.CDLL | None:
    """The library behind Pillow's module; None where it does not show these functions."""
    try:
        library = ctypes.CDLL(_avif.__file__)
        version = library.dav1d_version_api()
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return library if version >> 16 == _API else None


_library = _load()


def is_available() -> bool:
    """Whether this dav1d can be called directly."""
    return _library is not None


class Planes(NamedTuple):
    """A picture made small: all three planes have the same size and the mode L."""

    luma: Image.Image
    blue: Image.Image
    red: Image.Image
    matrix: int
    """By its number in ITU-T H.273, as the stream says."""
    is_full_range: bool


def decode_planes(stream: bytes, *, size: tuple[int, int], small: tuple[int, int]) -> Planes | None:
    """Decode one picture, and shrink each of its planes.

    Args:
        stream: the open bitstream units of one picture.
        size: width and height that it must have.
        small: width and height of the result; not larger.

    Returns:
        None where dav1d does not decode it, or can't be called; and of a picture that is not of
        that size, deeper than eight bits or without chroma.
    """
    if _library is None:
        return None
    with _decoder(_library, size) as decoder, _sent(_library, decoder, stream) as picture:
        if picture is None or (picture.width, picture.height) != size:
            return None
        subsampling = _SUBSAMPLING.get(picture.layout)
        if picture.depth != _EIGHT_BITS or subsampling is None:
            return None
        luma, blue, red = (
            _small_plane(picture, number, small, subsampling if number else (1, 1))
            for number in range(3)
        )
        sequence = picture.sequence.contents
        return Planes(luma, blue, red, sequence.matrix, bool(sequence.is_full_range))


@contextmanager
def _decoder(library: ctypes.CDLL, size: tuple[int, int]) -> Iterator[ctypes.c_void_p]:
    """A decoder without threads and messages."""
    settings = _Settings()
    library.dav1d_default_settings(ctypes.byref(settings))
    settings.n_threads = settings.max_frame_delay = 1
    settings.apply_grain = settings.all_layers = 0
    settings.inloop_filters = _NO_FILTERS
    settings.frame_size_limit = size[0] * size[1]
    settings.logger[1] = None
    decoder = ctypes.c_void_p()
    if library.dav1d_open(ctypes.byref(decoder), ctypes.byref(settings)):
        raise MemoryError
    try:
        yield decoder
    finally:
        library.dav1d_close(ctypes.byref(decoder))


@contextmanager
def _sent(library: ctypes.CDLL, decoder: ctypes.c_void_p, stream: bytes) -> Iterator[Any]:
    """The picture of a stream while its planes exist; None where there is none."""
    data, picture = _Data(), _Picture()
    memory = library.dav1d_data_create(ctypes.byref(data), len(stream))
    if not memory:
        raise MemoryError
    try:
        ctypes.memmove(memory, stream, len(stream))
        failed = library.dav1d_send_data(decoder, ctypes.byref(data))
        failed = failed or library.dav1d_get_picture(decoder, ctypes.byref(picture))
        yield None if failed or data.size else picture
    finally:
        library.dav1d_picture_unref(ctypes.byref(picture))
        library.dav1d_data_unref(ctypes.byref(data))


def _small_plane(
    picture: Any, number: int, small: tuple[int, int], subsampling: tuple[int, int]
) -> Image.Image:
    """One plane, shrunk as `pixels` shrinks pictures; at odd sizes the last sample counts half."""
    width, height = picture.width / subsampling[0], picture.height / subsampling[1]
    size = math.ceil(width), math.ceil(height)
    stride = picture.strides[_STRIDES[number]]
    memory = (ctypes.c_uint8 * (stride * size[1])).from_address(picture.planes[number])
    plane = Image.frombuffer("L", size, memory, "raw", "L", stride, 1)
    return plane.resize(
        small, Image.Resampling.BILINEAR, box=(0, 0, width, height), reducing_gap=2.0
    )
