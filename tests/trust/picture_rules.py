"""Where exiftool says something else than the probe, and the probe is right: when, and why."""

from __future__ import annotations

import re

from tests.trust.comparison import Disagreement, Rule

_WITH_THUMBNAILS = ("/transform_mismatch_thumbnail.heic", "/heif_truncated/truncated.heic")
_MIRRORED = {
    (0, 0): 4, (0, 1): 2, (1, 0): 5, (1, 1): 7, (2, 0): 2, (2, 1): 4, (3, 0): 7, (3, 1): 5,
}  # fmt: skip
"""(quarter turns, mirror's axis) -> orientation, as Pillow's own tests of these files expect."""


def _is_mirrored_avif(each: Disagreement) -> bool:
    name = re.search(r"/rot(\d)mir(\d)\.avif$", each.file)
    return name is not None and each.ours == _MIRRORED[int(name[1]), int(name[2])]


def _is_cropped(each: Disagreement) -> bool:
    axis = 0 if each.field == "width" else 1
    aperture = str(each.context.get("QuickTime:CleanAperture", "")).split()
    return len(aperture) == 4 and aperture[axis] == str(each.ours)


def _is_svg_with_units(each: Disagreement) -> bool:
    length = each.context.get(f"SVG:Image{each.field.capitalize()}")
    inches = re.fullmatch(r"([\d.]+)in", str(length))
    return inches is not None and round(float(inches[1]) * 96) == each.ours


def _has_no_size(each: Disagreement) -> bool:
    return each.context["status"] == "failed" and each.ours is None


def _is_in_codestream_alone(each: Disagreement) -> bool:
    is_damaged = each.context["status"] == "failed"
    return each.format == "jp2" and is_damaged and each.theirs is None


def _says_heic(each: Disagreement) -> bool:
    pair = (each.ours, str(each.theirs).removesuffix("-sequence"))
    return pair == ("image/heic", "image/heif")


def _is_other_letter(each: Disagreement) -> bool:
    """Where exiftool has a question mark, the probe has a letter beyond ASCII."""
    ours, theirs = str(each.ours), str(each.theirs)
    pairs = list(zip(ours, theirs, strict=False))
    return len(ours) == len(theirs) and all(
        mine == yours or (yours == "?" and not mine.isascii()) for mine, yours in pairs
    )


RULES = (
    Rule(
        "content_type",
        "image/apng was registered for what every program takes for a PNG and names so; that it is "
        "animated is said by is_animated",
        lambda each: (each.ours, each.theirs) == ("image/png", "image/apng"),
    ),
    Rule(
        "content_type width height",
        "TGA has no signature at its start: exiftool knows none, or takes it for a cursor or DICOM",
        lambda each: (
            each.file.endswith(".tga")
            and (each.field != "content_type" or each.ours == "image/x-tga")
        ),
    ),
    Rule(
        "content_type",
        "The major brand is one of any HEIF (mif1, msf1, Sony's heix); the pictures are HEVC, for "
        "which image/heic is registered (ISO/IEC 23008-12, annex B)",
        _says_heic,
    ),
    Rule(
        "content_type",
        "Text of no known format has no type: nothing that it could be relied on for",
        lambda each: (each.ours, each.theirs) == (None, "text/plain"),
    ),
    Rule(
        "width height",
        "What is shown is the clean aperture (clap, ISO/IEC 23008-12 6.5.9); exiftool says what is "
        "coded",
        _is_cropped,
    ),
    Rule(
        "width height orientation",
        "Properties belong to pictures (ipma, ISO/IEC 23008-12 9.3), and the primary one's are "
        "said here, as by libheif; exiftool says those of the last, a thumbnail",
        lambda each: each.file.endswith(_WITH_THUMBNAILS),
    ),
    Rule(
        "width height",
        "An icon's size is that of its largest picture; exiftool says the first's",
        lambda each: each.format == "ico" and each.ours > each.theirs,
    ),
    Rule(
        "width height",
        "Lengths in inches are 96 CSS pixels each; exiftool says the text",
        _is_svg_with_units,
    ),
    Rule(
        "height",
        "A BMP of OS/2 2.x has 32 bits of height at byte 22; exiftool reads a zero",
        lambda each: each.format == "bmp" and each.theirs == 0,
    ),
    Rule(
        "width height",
        "The header itself is damaged, and the row says so (failed): null or the truth, no guess",
        _has_no_size,
    ),
    Rule(
        "width height",
        "The header box of a JP2 is damaged: the codestream has the size, too (ISO/IEC "
        "15444-1, A.5.1), where FFmpeg finds it; exiftool does not look there",
        _is_in_codestream_alone,
    ),
    Rule(
        "orientation",
        "imir mirrors after irot turned, as Pillow's tests of these files say; exiftool leaves "
        "imir out",
        _is_mirrored_avif,
    ),
    Rule(
        "camera_make camera_model title description",
        "Bytes that are no UTF-8 are Windows' Latin-1; exiftool puts a question mark",
        _is_other_letter,
    ),
    Rule(
        "title description",
        "XMP that is no UTF-8 is read as Latin-1, which its writer used; exiftool reads none of it",
        lambda each: each.theirs is None and each.file.endswith("L_xmp_latin1.heic"),
    ),
)
