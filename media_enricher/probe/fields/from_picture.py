"""The fields that are made of pixels: colours, placeholders and the perceptual hash."""

from __future__ import annotations

import numpy as np
from PIL import Image

from media_enricher.models import Findings
from media_enricher.probe.fields import colours, hashes, placeholders


def fill_from_picture(findings: Findings, image: Image.Image) -> None:
    """Fill in what a small upright picture (RGB or RGBA, sRGB) shows.

    Its shape is that of `width` and `height` where those are known.
    """
    found = colours.palette(image)
    findings.palette = found or None
    findings.dominant_color = found[0] if found else None
    square = image.resize((placeholders.SIDE, placeholders.SIDE), Image.Resampling.BICUBIC)
    samples = np.asarray(square)
    width, height = findings.width or image.width, findings.height or image.height
    findings.thumbhash = placeholders.thumbhash(samples, width=width, height=height)
    if square.mode == "RGBA":
        white = Image.new("RGBA", square.size, "white")
        square = Image.alpha_composite(white, square).convert("RGB")
        samples = np.asarray(square)
    findings.blurhash = placeholders.blurhash(samples, is_portrait=height > width)
    findings.phash = hashes.phash(np.asarray(square.convert("L")))
