"""One small file of each format, with metadata where the format has any."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageCms

from media_enricher.probe.image import tiny
from tests.probe import carriers
from tests.probe.documents import OPEN_DOCUMENT, book, package, word
from tests.probe.recordings import recording
from tests.probe.samples import photograph

_XMP = carriers.packet(carriers.language("dc:title", "A title"))
_WITH_PROFILE = {"jpeg", "png", "webp", "tiff", "avif"}


def files() -> dict[str, bytes]:
    """File by the name of its format, which is its extension."""
    picture = photograph(96, 64)
    made = {
        name: _saved(picture, name)
        for name in (
            *("jpeg", "png", "webp", "avif", "gif", "tiff", "bmp", "ico", "jpeg2000"),
            *("ppm", "tga", "pcx", "dds"),
        )
    }
    made["cmyk"] = _saved(picture.convert("CMYK"), "jpeg")
    made["progressive"] = _saved(picture, "jpeg", progressive=True)
    made["apng"] = _saved(picture, "png", save_all=True, append_images=[picture.rotate(90)])
    made["heic"], made["jxl"], made["psd"], made["cur"] = (
        tiny.HEIC,
        tiny.JXL,
        tiny.PSD,
        tiny.CURSOR,
    )
    made["svg"] = (
        b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><title>A</title></svg>'
    )
    made |= {
        "mp4": recording("mp4", "libx264", "aac", seconds=0.3, metadata=(("title", "A"),)),
        "mov": recording("mov", "mjpeg", "pcm_s16le", seconds=0.2),
        "mkv": recording("matroska", "mpeg4", "aac", seconds=0.3, metadata=(("title", "A"),)),
        "webm": recording("webm", "libvpx-vp9", "libopus", seconds=0.3),
        "avi": recording("avi", "mpeg4", "mp3", seconds=0.3),
        "ts": recording("mpegts", "mpeg2video", "mp2", seconds=0.3),
        "mp3": recording("mp3", None, "mp3", seconds=0.3, metadata=(("title", "A"),)),
        "flac": recording("flac", None, "flac", seconds=0.3, metadata=(("title", "A"),)),
        "ogg": recording("ogg", None, "libopus", seconds=0.3, metadata=(("title", "A"),)),
        "wav": recording("wav", None, "pcm_s16le", seconds=0.3),
        "aiff": recording("aiff", None, "pcm_s16be", seconds=0.3),
        "aac": recording("adts", None, "aac", seconds=0.3),
    }
    file = io.BytesIO()
    picture.save(file, "pdf", title="A title", author="Somebody")
    made["pdf"] = file.getvalue()
    made["docx"], made["epub"] = word(), book()
    made["odt"] = package(OPEN_DOCUMENT, "application/vnd.oasis.opendocument.text")
    return made


def _saved(image: Image.Image, name: str, **how: Any) -> bytes:
    camera = Image.Exif()
    camera[271], camera[306] = "Maker", "2020:01:01 00:00:00"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if name in _WITH_PROFILE and image.mode == "RGB":
        how |= {"icc_profile": profile}
    file = io.BytesIO()
    image.save(file, name, exif=camera.tobytes(), xmp=_XMP, **how)
    return file.getvalue()
