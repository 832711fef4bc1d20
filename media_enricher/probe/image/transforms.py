"""Turns, mirrors and cut-outs one after the other, as one cut-out and one EXIF orientation.

HEIF lists transformations in the order in which they apply (ISO 23008-12, 6.5.8 to 6.5.10), so a
cut-out behind a turn is one of the turned picture.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

_Matrix = tuple[int, int, int, int]
"""Row by row: where right and down of the stored picture point to on the screen."""

# EXIF orientation -> what it does to a point, with y downwards.
_MATRICES: dict[int, _Matrix] = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, -1, 1, 0),
    7: (0, -1, -1, 0),
    8: (0, 1, -1, 0),
}
_ORIENTATIONS = {matrix: orientation for orientation, matrix in _MATRICES.items()}
_QUARTER_TURN = _MATRICES[8]
"""Anticlockwise."""
_MIRRORS = (_MATRICES[4], _MATRICES[2])
"""By the axis of `imir`: 0 exchanges top and bottom, 1 left and right."""


class Box(NamedTuple):
    """A part of the stored picture, in pixels; right and bottom are not part of it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


class Placement:
    """What is shown of a picture of `width` x `height` stored pixels, and how it is turned.

    Attributes:
        box: the part that is shown, in stored pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.box = Box(0, 0, width, height)
        self._matrix = _MATRICES[1]

    @property
    def orientation(self) -> int:
        """In EXIF's terms, of the part that is shown."""
        return _ORIENTATIONS[self._matrix]

    def turn(self, quarters: int) -> None:
        """Turn anticlockwise, as `irot` says."""
        for _ in range(quarters & 3):
            self._matrix = _product(_QUARTER_TURN, self._matrix)

    def mirror(self, axis: int) -> None:
        """Exchange top and bottom (axis 0) or left and right (axis 1), as `imir` says."""
        self._matrix = _product(_MIRRORS[axis & 1], self._matrix)

    def cut(self, width: Fraction, height: Fraction, right: Fraction, down: Fraction) -> None:
        """Keep a part, as `clap` says: its size, and how far its centre lies from the centre.

        Rounded as libheif rounds it. A part without pixels, or outside of the picture, is left
        out of account: viewers show the whole picture then.
        """
        shown_width, shown_height = self._shown_size()
        left = math.floor(right + Fraction(shown_width) / 2 - width / 2)
        top = math.floor(down + Fraction(shown_height) / 2 - height / 2)
        first_x, first_y = max(left, 0), max(top, 0)
        last_x = min(left + _rounded(width), shown_width)
        last_y = min(top + _rounded(height), shown_height)
        if first_x >= last_x or first_y >= last_y:
            return
        # The corners, seen from the centre and doubled, so that they are whole numbers.
        corners = [
            self._stored(2 * x - shown_width, 2 * y - shown_height)
            for x, y in ((first_x, first_y), (last_x, last_y))
        ]
        xs, ys = sorted(x for x, _ in corners), sorted(y for _, y in corners)
        box = self.box
        middle_x, middle_y = box.left + box.right, box.top + box.bottom
        self.box = Box(
            (middle_x + xs[0]) // 2,
            (middle_y + ys[0]) // 2,
            (middle_x + xs[1]) // 2,
            (middle_y + ys[1]) // 2,
        )

    def _shown_size(self) -> tuple[int, int]:
        width, height = self.box.size
        return (height, width) if self._matrix[0] == 0 else (width, height)

    def _stored(self, x: int, y: int) -> tuple[int, int]:
        """A shown point as a stored one; the inverse of a turn is its transpose."""
        a, b, c, d = self._matrix
        return a * x + c * y, b * x + d * y


def _product(second: _Matrix, first: _Matrix) -> _Matrix:
    a, b, c, d = second
    e, f, g, h = first
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


def _rounded(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))
