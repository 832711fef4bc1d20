"""Netpbm with comments among its pixels gives what it gives without."""

from __future__ import annotations

import pytest

from media_enricher.models import AssetStatus, ErrorCode
from tests.probe.samples import full, header

SIDE = 40
ROWS = [[((x * 6) % 256, (y * 6) % 256, 90) for x in range(SIDE)] for y in range(SIDE)]


def plain(comment: str) -> bytes:
    """A picture as text, with a comment after each number of its first rows."""
    lines = [f"P3\n# made by hand\n{SIDE} {SIDE}\n255"]
    for y, row in enumerate(ROWS):
        after = f" {comment}\n" if y < 2 else " "
        lines.append(after.join(str(value) for pixel in row for value in pixel))
    return "\n".join(lines).encode()


@pytest.mark.parametrize("comment", ["# 1 2 3", "#", "# " + "9 " * 10_000])
def test_comments_are_no_pixels(comment: str) -> None:
    expected = full(plain(""))

    found = full(plain(comment))

    assert expected.status is AssetStatus.ENRICHED
    assert (found.status, found.width, found.height) == (AssetStatus.ENRICHED, SIDE, SIDE)
    assert (found.blurhash, found.phash, found.palette) == (
        expected.blurhash,
        expected.phash,
        expected.palette,
    )


def test_a_comment_of_many_megabytes_is_no_pixel_either() -> None:
    found = full(plain("").replace(b"\n255\n", b"\n255\n#" + b"7 " * 2_000_000 + b"\n", 1))

    assert found.blurhash == full(plain("")).blurhash


def test_a_header_that_is_all_comments_is_refused_in_both_depths() -> None:
    data = b"P6\n" + b"#a\n" * 50_000 + b"1 1\n255\nabc"

    for findings in (header(data)[0], full(data)):
        assert findings.error_code is ErrorCode.CORRUPT
        assert "longer than 65,536 bytes" in (findings.error_message or "")
