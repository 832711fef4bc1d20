"""The part of libwebp that Pillow leaves out: decoding straight to a smaller size, in steps.

Pillow decodes through the animation decoder: the whole canvas, then copies of it. The functions
here are in the same library, which Pillow has loaded; the symbols are found through its extension
module, wherever its wheel or distribution keeps the library. So there is no second libwebp to keep
free of known holes. Where they are not found, `is_available` is false.

Structures: src/webp/decode.h of libwebp, whose first digit of the ABI version (2) says that they
are laid out so; later fields take the place of padding.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import _webp

Pixels = npt.NDArray[np.uint8]

_ABI_VERSION = 0x0209
_MODE_RGB, _MODE_RGBA = 0, 1
_OK, _SUSPENDED = 0, 5
"""VP8StatusCode: all is decoded, and more bytes are needed for that."""

_int, _pointer, _size = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t


class _Features(ctypes.Structure):
    _fields_ = (
        ("width", _int),
        ("height", _int),
        ("has_alpha", _int),
        ("has_animation", _int),
        ("format", _int),
        ("padding", ctypes.c_uint32 * 5),
    )


class _Samples(ctypes.Structure):
    _fields_ = (("samples", _pointer), ("stride", _int), ("size", _size))


class _Planes(ctypes.Structure):
    _fields_ = (("planes", _pointer * 4), ("strides", _int * 4), ("sizes", _size * 4))


class _Layout(ctypes.Union):
    _fields_ = (("interleaved", _Samples), ("planar", _Planes))


class _Output(ctypes.Structure):
    _fields_ = (
        ("mode", _int),
        ("width", _int),
        ("height", _int),
        ("is_external_memory", _int),
        ("layout", _Layout),
        ("padding", ctypes.c_uint32 * 4),
        ("private_memory", _pointer),
    )


class _Options(ctypes.Structure):
    _fields_ = (
        ("bypass_filtering", _int),
        ("no_fancy_upsampling", _int),
        ("use_cropping", _int),
        ("crop", _int * 4),
        ("use_scaling", _int),
        ("scaled_width", _int),
        ("scaled_height", _int),
        ("use_threads", _int),
        ("dithering_strength", _int),
        ("flip", _int),
        ("alpha_dithering_strength", _int),
        ("padding", ctypes.c_uint32 * 5),
    )


class _Config(ctypes.Structure):
    _fields_ = (("input", _Features), ("output", _Output), ("options", _Options))


_FUNCTIONS = {
    "WebPInitDecoderConfigInternal": (_int, (_pointer, _int)),
    "WebPIDecode": (_pointer, (_pointer, _size, _pointer)),
    "WebPIUpdate": (_int, (_pointer, _pointer, _size)),
    "WebPIDelete": (None, (_pointer,)),
}
"""Name -> type of the result, and types of the arguments."""


def _load() -> ctypes.CDLL | None:
    """The library behind Pillow's module; None where it does not show its functions."""
    try:
        library = ctypes.CDLL(_webp.__file__)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    accepted = library.WebPInitDecoderConfigInternal(ctypes.byref(_Config()), _ABI_VERSION)
    return library if accepted else None


_library = _load()


def is_available() -> bool:
    """Whether this libwebp can be called directly."""
    return _library is not None


class Decoded(NamedTuple):
    """A still picture, and where its decoder stopped."""

    pixels: Pixels
    """Height x width x 3 (RGB) or 4 (RGBA)."""
    ends_early: bool
    """It was complete without the last bytes of the stream."""


def decode(
    data: Pixels, *, size: tuple[int, int], is_scaled: bool, has_alpha: bool, cut: int
) -> Decoded | None:
    """Decode a still picture, first without its last bytes, and then with them.

    Args:
        data: the file from its start up to the end of the coded pixels, as bytes.
        size: width and height of the result: those of the picture, or with `is_scaled` smaller.
        is_scaled: whether to average to that size.
        has_alpha: whether to give RGBA.
        cut: how many bytes are held back at first.

    Returns:
        None where libwebp does not decode it, or can't be called.
    """
    if _library is None:
        return None
    width, height = size
    channels = 4 if has_alpha else 3
    pixels: Pixels = np.zeros((height, width, channels), np.uint8)
    config = _Config()
    _library.WebPInitDecoderConfigInternal(ctypes.byref(config), _ABI_VERSION)
    config.output.mode = _MODE_RGBA if has_alpha else _MODE_RGB
    config.output.is_external_memory = 1
    config.output.layout.interleaved = _Samples(pixels.ctypes.data, width * channels, pixels.nbytes)
    if is_scaled:
        config.options.use_scaling = 1
        config.options.scaled_width, config.options.scaled_height = size
    decoder = _library.WebPIDecode(None, 0, ctypes.byref(config))
    if not decoder:
        return None
    start, length = data.ctypes.data, data.nbytes
    try:
        early = _library.WebPIUpdate(decoder, start, max(length - cut, 0)) if cut else _SUSPENDED
        if early not in {_OK, _SUSPENDED}:
            return None
        status = early if early == _OK else _library.WebPIUpdate(decoder, start, length)
    finally:
        _library.WebPIDelete(decoder)
    return Decoded(pixels, early == _OK) if status == _OK else None
