"""What the header of an image file says, whatever its format. Each format's reader fills one."""

from __future__ import annotations

import msgspec

from media_enricher.probe.image.transforms import Box
from media_enricher.probe.metadata.blocks import MAX_BLOCKS, MAX_BLOCKS_BYTES, Block

_SWAPPING = frozenset({5, 6, 7, 8})


class ImageHeader(msgspec.Struct):
    """Filled as it is read, so that what is known survives where reading breaks off."""

    format: str
    width: int | None = None
    """Pixels, as stored."""
    height: int | None = None
    """Pixels, as stored."""
    coded_size: tuple[int, int] | None = None
    """Of what has to be decoded, where only a part of it is shown: HEIF's `clap`."""
    crop: Box | None = None
    """The part of the coded picture that is shown, before it is turned."""
    content_type: str | None = None
    """What the file turned out to be more exactly: a camera's raw file begins as a TIFF."""
    preview: tuple[int, int] | None = None
    """Of a raw file: where its embedded JPEG begins, and its length."""
    mode: str | None = None
    """Pillow's."""
    bit_depth: int | None = None
    """Bits per channel; of a palette's colours where there is one."""
    has_alpha: bool | None = None
    frame_count: int | None = None
    is_animated: bool | None = None
    is_progressive: bool = False
    """Of a JPEG: several scans, each refining the whole picture."""
    jpeg_frame: bytes = b""
    """The start of a JPEG's frame header, which says how chroma is sampled."""
    orientation: int | None = None
    """Of the container itself (HEIF, TIFF), in EXIF's terms; it overrides EXIF's."""
    is_turned_by_decoder: bool = False
    """Pillow turns a TIFF upright as it decodes, and libheif a HEIC, which it cuts out as well."""
    inflated_bytes: int = 0
    """What the packed metadata of a PNG came to so far."""
    blocks: list[Block] = msgspec.field(default_factory=list)
    """Metadata as the file holds it: EXIF, XMP, IPTC, Photoshop's resources, C2PA's manifest. A
    reader hands over each block as it is; `metadata.blocks` recognises it by its bytes."""
    kept_bytes: int = 0
    """Of `blocks` together."""
    is_cut: bool = False
    """Metadata may lie in parts of the file that are not held."""
    has_unannounced: bool = False
    """There are parts of the file that were not looked at, and hold no metadata by its own word."""
    is_truncated: bool = False
    """The file is cut behind its first picture, which is whole."""
    is_damaged: bool = False
    """There are bytes that no encoder writes, and the first picture may show nevertheless."""
    icc: bytes | None = None
    coded_colours: tuple[int, int] | None = None
    """Primaries and transfer by their numbers in ITU-T H.273: PNG's `cICP`, HEIF's `nclx`."""
    av1_stream: tuple[int, int] | None = None
    """Of an AVIF whose picture is one AV1 stream, shown whole and without alpha: where it begins,
    and its length."""
    yuv: tuple[int, bool] | None = None
    """Of an AVIF that says so: its matrix by its number in ITU-T H.273, and whether samples have
    their full range."""
    is_srgb: bool = False
    """A PNG says that it is sRGB."""
    gamma: float | None = None
    """Of a PNG: the exponent from light to signal, 0.45455 for most."""
    chromaticities: tuple[float, ...] | None = None
    """Of a PNG: white, red, green and blue, as x and y each."""
    texts: dict[str, str] = msgspec.field(default_factory=dict)
    """Of the format itself: `title`, `description`, `author` and `copyright`."""

    def keep(self, block: bytes) -> None:
        """Hand over a block of metadata, within bounds: a file may consist of nothing else."""
        if len(self.blocks) >= MAX_BLOCKS or self.kept_bytes + len(block) > MAX_BLOCKS_BYTES:
            self.is_cut = True
            return
        self.kept_bytes += len(block)
        self.blocks.append(block)

    def size_to_decode(self) -> tuple[int, int]:
        """Width and height that a decoder makes room for; 0 where unknown."""
        return self.coded_size or (self.width or 0, self.height or 0)

    def displayed_size(self, orientation: int | None) -> tuple[int | None, int | None]:
        """Width and height once the picture is turned upright."""
        if orientation in _SWAPPING:
            return self.height, self.width
        return self.width, self.height
