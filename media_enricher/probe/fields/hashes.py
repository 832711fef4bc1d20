"""The perceptual hash, by which copies of a picture are found in other sizes and formats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIDE = 32
_KEPT = 8

_FREQUENCY = np.arange(_KEPT)[:, np.newaxis]
_BASIS = np.cos(np.pi / SIDE * (np.arange(SIDE) + 0.5) * _FREQUENCY)
"""The first rows of the DCT-II."""


def phash(grey: npt.NDArray[np.uint8]) -> str:
    """64 bits as 16 hexadecimal digits: which low frequencies lie above their median.

    The algorithm of imagehash's `phash` (after Krawetz, "Looks Like It"): DCT-II of 32x32 greys,
    its lowest 8x8 coefficients, row by row with the most significant bit first.

    Args:
        grey: 32x32, 0 to 255.
    """
    # Rounded, for what should be nought (in a flat picture, say) is noise, other on each machine.
    low = np.round(_BASIS @ grey.astype(np.float64) @ _BASIS.T, 3)
    ranked = np.sort(low, axis=None)
    median = (ranked[31] + ranked[32]) / 2  # np.median takes ten times as long
    bits = (low > median).ravel()
    return np.packbits(bits).tobytes().hex()
