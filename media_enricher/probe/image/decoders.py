"""Pillow's decoders, each opened by the signature that was seen and never by trying them all.

Going to the plugin's class past `Image.open` also leaves alone Pillow's global registry of formats
(which would bring in PostScript, and with it Ghostscript) and its global limit on pixels.
"""

from __future__ import annotations

import io
import mmap
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    DdsImagePlugin,
    GifImagePlugin,
    IcnsImagePlugin,
    IcoImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    PsdImagePlugin,
    QoiImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from media_enricher.models import ErrorCode
from media_enricher.probe.source import (
    Buffer,
    MoreBytesError,
    UnreadableError,
    Window,
    WindowFile,
)

# What Pillow warns of either ends in an error code or does not show.
warnings.filterwarnings("ignore", module=r"PIL\.")

# One thread a picture: the engine decodes several pictures at once, which wastes nothing.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "avif": AvifImagePlugin.AvifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "dds": DdsImagePlugin.DdsImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "icns": IcnsImagePlugin.IcnsImageFile,
    "ico": IcoImagePlugin.IcoImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "jpeg2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "png": PngImagePlugin.PngImageFile,
    "ppm": PpmImagePlugin.PpmImageFile,
    "psd": PsdImagePlugin.PsdImageFile,
    "qoi": QoiImagePlugin.QoiImageFile,
    "tga": TgaImagePlugin.TgaImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}

_EXTRAS = {"heic": "heif", "heif": "heif", "jxl": "jxl"}
"""Format -> the extra of this package that brings its decoder."""


def _add_optional_plugins() -> None:
    """Add the decoders of the extras that are installed, each without threads of its own."""
    with suppress(ImportError):
        import pillow_heif  # noqa: PLC0415 - an extra

        pillow_heif.options.DECODE_THREADS = 0
        pillow_heif.options.THUMBNAILS = False
        pillow_heif.options.DEPTH_IMAGES = False
        pillow_heif.options.AUX_IMAGES = False
        _PLUGINS["heic"] = _PLUGINS["heif"] = pillow_heif.HeifImageFile
    with suppress(ImportError):
        from pillow_jxl import JpegXLImagePlugin  # noqa: PLC0415 - an extra

        JpegXLImagePlugin.DECODE_THREADS = 0
        _PLUGINS["jxl"] = JpegXLImagePlugin.JXLImageFile


_add_optional_plugins()


def _read_white_is_zero() -> None:
    """Have Pillow open the deep greys of a TIFF where 0 is white as those where it is black.

    It does so for some byte orders and depths alone; `pixels` turns all of them round.
    """
    layouts = TiffImagePlugin.OPEN_INFO
    for layout, modes in list(layouts.items()):
        is_deep_grey = modes[0] in {"I", "F"} or modes[0].startswith("I;16")
        if layout[1] == 1 and is_deep_grey:
            layouts.setdefault((*layout[:1], 0, *layout[2:]), modes)


_read_white_is_zero()

_TRUNCATION_PHRASES = ("truncated", "end of file", "eof", "unexpected end", "not enough")
_UNKNOWN_PHRASES = ("unsupported", "unimplemented", "unknown pixel mode")


def open_image(name: str, data: Buffer | Window) -> ImageFile.ImageFile:
    """Open an image of a known format; its pixels are not decoded yet.

    Raises:
        UnreadableError: the decoder does not accept it, or there is none.
        MoreBytesError: it reads what a window does not hold.
    """
    if name not in _PLUGINS:
        raise UnreadableError(ErrorCode.UNSUPPORTED_TYPE, _without_decoder(name))
    with refusals(name):
        return _PLUGINS[name](file_of(data))


def _without_decoder(name: str) -> str:
    if extra := _EXTRAS.get(name):
        return f"The pixels of {name} need the extra {extra} of this package, which is missing."
    return f"There is no decoder for the pixels of {name}."


def file_of(data: Buffer | Window) -> io.BytesIO | io.BufferedReader:
    """The bytes as a file. `bytes` are shared; a mapped file, which is large, is not read whole."""
    if isinstance(data, Window) and data.is_complete:
        data = data.data
    if isinstance(data, mmap.mmap):
        data = Window(data)
    if isinstance(data, Window):
        return io.BufferedReader(WindowFile(data))
    return io.BytesIO(data)


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises over hostile bytes into an `UnreadableError`.

    Decoders raise nearly everything (OSError, SyntaxError, ValueError, struct.error, KeyError,
    AttributeError, ...), and none of it is an error of ours: only third-party code runs in here.
    """
    try:
        yield
    except MoreBytesError:
        raise
    except Image.DecompressionBombError as bomb:
        raise UnreadableError(ErrorCode.TOO_MANY_PIXELS, f"{name}: {_sentence(bomb)}") from None
    except MemoryError:
        raise UnreadableError(
            ErrorCode.TOO_MANY_PIXELS, f"{name}: decoding needs more memory than there is."
        ) from None
    except Exception as refusal:  # noqa: BLE001 - see the docstring
        raise UnreadableError(_code(refusal), f"{name}: {_sentence(refusal)}") from None


def _code(refusal: Exception) -> ErrorCode:
    said = str(refusal).lower()
    if isinstance(refusal, EOFError) or any(phrase in said for phrase in _TRUNCATION_PHRASES):
        return ErrorCode.TRUNCATED
    is_unknown = isinstance(refusal, NotImplementedError) or said.startswith(_UNKNOWN_PHRASES)
    return ErrorCode.UNSUPPORTED_TYPE if is_unknown else ErrorCode.CORRUPT


def _sentence(refusal: Exception) -> str:
    """What the decoder said; where it only tripped, over what."""
    cause = refusal.__cause__ or refusal
    if isinstance(cause, (struct.error, LookupError, TypeError, AttributeError, zlib.error)):
        return f"the decoder stopped at bytes that make no sense ({type(cause).__name__})."
    said = " ".join(str(refusal).split())[:300].rstrip(".")
    return f"{said}." if said else f"the decoder stopped ({type(refusal).__name__})."
