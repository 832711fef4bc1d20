"""The names of content types: one spelling for each, its kind, and what file names promise."""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath

from media_enricher.models import Kind

_SYNONYMS = {
    "application/x-gzip": "application/gzip",
    "application/x-pdf": "application/pdf",
    "application/x-zip-compressed": "application/zip",
    "application/xml": "text/xml",
    "application/x-rar-compressed": "application/vnd.rar",
    "application/x-zstd": "application/zstd",
    "audio/m4a": "audio/mp4",
    "audio/mp3": "audio/mpeg",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "audio/aacp": "audio/aac",
    "audio/x-aac": "audio/aac",
    "audio/x-midi": "audio/midi",
    "audio/opus": "audio/ogg",
    "audio/vorbis": "audio/ogg",
    "image/apng": "image/png",
    "image/heic-sequence": "image/heic",
    "image/heif-sequence": "image/heif",
    "image/jpg": "image/jpeg",
    "image/j2k": "image/jp2",
    "image/jpeg2000": "image/jp2",
    "image/mpo": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/svg": "image/svg+xml",
    "image/tif": "image/tiff",
    "application/photoshop": "image/vnd.adobe.photoshop",
    "application/x-photoshop": "image/vnd.adobe.photoshop",
    "image/pcx": "image/vnd.zbrush.pcx",
    "image/vnd.microsoft.icon": "image/x-icon",
    "image/x-bmp": "image/bmp",
    "image/x-ms-bmp": "image/bmp",
    "image/x-pcx": "image/vnd.zbrush.pcx",
    "image/x-png": "image/png",
    "image/x-windows-bmp": "image/bmp",
    "video/avi": "video/x-msvideo",
    "video/m2ts": "video/mp2t",
    "video/matroska": "video/x-matroska",
    "video/msvideo": "video/x-msvideo",
    "video/x-m4v": "video/mp4",
    "video/x-quicktime": "video/quicktime",
    "windows/metafile": "image/wmf",
}

_IMAGE_EXTENSIONS = {
    ".apng": "image/png",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".cr3": "image/x-canon-cr3",
    ".cur": "image/x-win-cursor",
    ".exr": "image/x-exr",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heic",
    ".ico": "image/x-icon",
    ".j2k": "image/jp2",
    ".jfif": "image/jpeg",
    ".jp2": "image/jp2",
    ".jpe": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".jxl": "image/jxl",
    ".orf": "image/x-olympus-orf",
    ".pam": "image/x-portable-anymap",
    ".pbm": "image/x-portable-bitmap",
    ".pcx": "image/vnd.zbrush.pcx",
    ".pfm": "image/x-portable-anymap",
    ".pgm": "image/x-portable-graymap",
    ".png": "image/png",
    ".pnm": "image/x-portable-anymap",
    ".ppm": "image/x-portable-pixmap",
    ".psb": "image/vnd.adobe.photoshop",
    ".psd": "image/vnd.adobe.photoshop",
    ".qoi": "image/qoi",
    ".raf": "image/x-fuji-raf",
    ".rw2": "image/x-panasonic-rw2",
    ".svg": "image/svg+xml",
    ".svgz": "image/svg+xml",
    ".tga": "image/x-tga",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}

RAW_EXTENSIONS = {
    ".3fr": "image/x-hasselblad-3fr",
    ".arw": "image/x-sony-arw",
    ".cr2": "image/x-canon-cr2",
    ".dng": "image/x-adobe-dng",
    ".erf": "image/x-epson-erf",
    ".iiq": "image/x-phaseone-iiq",
    ".kdc": "image/x-kodak-kdc",
    ".mef": "image/x-mamiya-mef",
    ".mos": "image/x-leaf-mos",
    ".nef": "image/x-nikon-nef",
    ".nrw": "image/x-nikon-nrw",
    ".pef": "image/x-pentax-pef",
    ".sr2": "image/x-sony-sr2",
    ".srw": "image/x-samsung-srw",
}
"""Camera raw formats that are TIFF files, of which TIFF's rules would find only the preview."""

_DOCUMENT_PREFIXES = (
    "application/msword",
    "application/pdf",
    "application/postscript",
    "application/rtf",
    "application/vnd.ms-",
    "application/vnd.oasis.opendocument",
    "application/vnd.openxmlformats-officedocument",
    "application/epub",
    "application/vnd.apple.iwork",
    "application/vnd.comicbook",
    "text/",
)


@lru_cache(maxsize=256)
def normalised(content_type: str | None) -> str | None:
    """A content type without its parameters, in the one spelling that we use.

    `Image/JPG; charset=binary` becomes `image/jpeg`. None for what is no content type.
    """
    if not content_type:
        return None
    bare = content_type.partition(";")[0].strip().lower()
    if bare.count("/") != 1:
        return None
    return _SYNONYMS.get(bare, bare)


def kind_of(content_type: str | None) -> Kind:
    """What sort of thing a (normalised) content type is."""
    if not content_type:
        return Kind.OTHER
    family = content_type.partition("/")[0]
    if family in {"image", "video", "audio"}:
        return Kind(family)
    return Kind.DOCUMENT if content_type.startswith(_DOCUMENT_PREFIXES) else Kind.OTHER


def extension_of(path: str) -> str:
    """The lower-case extension of an object's name with its dot, or an empty string."""
    name = path.rpartition("/")[2]
    if name in {"", "."}:  # of a path that ends with them, the part before is the name
        name = PurePosixPath(path).name
    at = name.rfind(".")
    return name[at:].lower() if 0 < at < len(name) - 1 else ""


def promised_image_type(path: str, declared_content_type: str | None) -> str | None:
    """The image type that an object claims to be, by its declared type, else by its name."""
    declared = normalised(declared_content_type)
    if declared and declared.startswith("image/"):
        return declared
    extension = extension_of(path)
    return _IMAGE_EXTENSIONS.get(extension) or RAW_EXTENSIONS.get(extension)
