"""Labels: facts about an object that follow from its other fields, each by one rule.

Some facts are known to readers alone (`live-photo`, `burst`, `hdr`): a reader puts them into
`Findings.labels`, and they stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from media_enricher.models import Findings, Kind
from media_enricher.probe.content_types import normalised

HDR, LIVE_PHOTO, BURST = "hdr", "live-photo", "burst"
"""What readers find: brightness beyond white, a still with its film, one of a series of shots."""
TRUNCATED = "truncated"
"""The warning of a picture that shows although its file is cut."""

_SQUARE_WITHIN = 0.01
_PANORAMA_RATIO = 2.0
_PANORAMA_PIXELS = 2000
_LOW_RESOLUTION_PIXELS = 400
_GREY_WITHIN = 4
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L"})
_UNSPECIFIC = frozenset({"application/octet-stream", "binary/octet-stream"})
_SAME_FAMILY = ({"image/heic", "image/heif"}, {"text/plain", "text/csv", "text/markdown"})
_SCREENSHOT_NAME = re.compile(
    r"(?:^|[/_\- ])(?:screen[ _-]?shot|screencap|bildschirmfoto|capture d.{1,3}cran|"
    r"captura de pantalla|schermafbeelding|スクリーンショット)",
    re.IGNORECASE,
)


class _Labelled(NamedTuple):
    """What the rules look at."""

    found: Findings
    path: str
    declared: str | None
    """The content type, normalised."""
    width: int
    """Displayed, of a picture or film; 0 where it is unknown."""
    height: int
    is_image: bool


def _is_longer(long: int, short: int) -> bool:
    return 0 < short * (1 + _SQUARE_WITHIN) < long


def _is_square(each: _Labelled) -> bool:
    long = max(each.width, each.height)
    return 0 < long <= min(each.width, each.height) * (1 + _SQUARE_WITHIN)


def _is_panorama(each: _Labelled) -> bool:
    if not each.is_image or not each.found.camera_model:
        return False
    short, long = sorted((each.width, each.height))
    return long >= max(_PANORAMA_PIXELS, short * _PANORAMA_RATIO)


def _is_low_resolution(each: _Labelled) -> bool:
    is_drawn = each.found.format == "svg"  # sharp at any size
    return not is_drawn and 0 < max(each.width, each.height) < _LOW_RESOLUTION_PIXELS


def _is_greyscale(each: _Labelled) -> bool:
    if not each.is_image:
        return False
    if each.found.color_mode in _GREY_MODES:
        return True
    return bool(each.found.palette) and all(map(_is_grey, each.found.palette or ()))


def _is_grey(colour: str) -> bool:
    channels = bytes.fromhex(colour[1:])
    return max(channels) - min(channels) <= _GREY_WITHIN


def _is_screenshot(each: _Labelled) -> bool:
    if not each.is_image:
        return False
    return _SCREENSHOT_NAME.search(each.path) is not None or any(
        "screenshot" in str(written).lower()
        for tag in ("UserComment", "Software")
        if (written := (each.found.exif or {}).get(tag))
    )


def _is_mislabelled(each: _Labelled) -> bool:
    declared, found = each.declared, each.found.content_type
    if declared == found or not declared or not found or declared in _UNSPECIFIC:
        return False
    return not any({declared, found} <= same for same in _SAME_FAMILY)


_RULES: dict[str, Callable[[_Labelled], bool]] = {
    "animated": lambda each: each.found.is_animated is True,
    "greyscale": _is_greyscale,
    "landscape": lambda each: _is_longer(each.width, each.height),
    "low-resolution": _is_low_resolution,
    "mislabelled": _is_mislabelled,
    "panorama": _is_panorama,
    "portrait": lambda each: _is_longer(each.height, each.width),
    "screenshot": _is_screenshot,
    "square": _is_square,
    "transparent": lambda each: each.found.is_opaque is False,
    "truncated-but-shown": lambda each: TRUNCATED in (each.found.warnings or ()),
}
"""Label -> its rule:

* `animated`: the frames are an animation.
* `greyscale`: an image without colour, by its mode or by every colour of its palette.
* `landscape`, `portrait`, `square`: the displayed shape; within 1% it is a square.
* `low-resolution`: the longer side has fewer than 400 pixels; never of an SVG.
* `mislabelled`: uploaded as another type than the bytes are.
* `panorama`: a photograph of a camera, at least 2,000 pixels long and twice as long as high.
* `screenshot`: EXIF or the file's name says so.
* `transparent`: a pixel is not opaque.
* `truncated-but-shown`: the file is cut, and still shows a picture.
"""


def label(findings: Findings, path: str, declared_content_type: str | None) -> None:
    """Add the labels of all rules that hold to those that the reader found."""
    each = _Labelled(
        findings,
        path,
        normalised(declared_content_type),
        findings.width or 0,
        findings.height or 0,
        findings.kind is Kind.IMAGE,
    )
    ruled = {name for name, holds in _RULES.items() if holds(each)}
    findings.labels = sorted(ruled.union(findings.labels or ())) or None
