"""A flame graph of stacks, as an SVG that any browser shows: a box's width is its share of time."""

from __future__ import annotations

from collections import Counter
from html import escape
from zlib import crc32

WIDTH = 1600
ROW = 17
NARROWEST = 0.4
"""Boxes below this width in pixels are left out: nobody could see them."""
DEEPEST = 120
"""Frames further out than so many are left out, as no page is that high."""
CHARACTER = 6.6
"""Pixels that a character of a label takes."""

Stack = tuple[str, ...]


def svg(stacks: Counter[Stack], *, title: str) -> str:
    """Draw stacks, the outermost frame at the top.

    Args:
        stacks: how many samples each stack has; frames from the outermost to the innermost.
        title: the label of the box of all of them.
    """
    total = sum(stacks.values())
    height = (min(DEEPEST, max(map(len, stacks), default=0)) + 1) * ROW
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="monospace" font-size="11">',
        _box(title, 0, 0, WIDTH, total, total),
    ]
    # Sorted, the stacks that share their outer frames lie side by side. So each box is drawn when
    # the stacks come to an end that have it, and nothing recurses.
    under_way: list[tuple[str, int]] = []  # the frames of the stack before, and where each began
    at = 0
    for stack in [*sorted(stacks), ()]:
        frames = stack[:DEEPEST]
        shared = 0
        while shared < min(len(frames), len(under_way)) and under_way[shared][0] == frames[shared]:
            shared += 1
        while len(under_way) > shared:
            frame, began = under_way.pop()
            width = (at - began) / total * WIDTH
            if width >= NARROWEST:
                x = began / total * WIDTH
                drawn.append(_box(frame, x, len(under_way) + 1, width, at - began, total))
        under_way += [(frame, at) for frame in frames[shared:]]
        at += stacks[stack] if stack else 0
    return "\n".join([*drawn, "</svg>\n"])


def _box(frame: str, x: float, depth: int, width: float, samples: int, total: int) -> str:
    shade = crc32(frame.encode()) % 50
    share = samples / total if total else 0.0
    room = int(width / CHARACTER) - 1
    label = frame if len(frame) <= room else frame[: max(0, room - 1)] + "…" if room > 3 else ""
    y = depth * ROW
    return (
        f"<g><title>{escape(frame)}: {share:.1%}</title>"
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}"'
        f' fill="hsl({shade}, 85%, 65%)"/>'
        f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(label)}</text></g>'
    )
