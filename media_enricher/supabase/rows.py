"""Encode assets as rows that Postgres accepts.

A file can contain any value: EXIF text with NUL characters, a width of 2^40, a latitude of NaN.
Postgres refuses such a value, and with it the other 999 rows of the request. So a value that its
column cannot hold is corrected or set to null here, before the rows are sent. The limits are those
of the constraints in `sql/schemas/30_assets.sql`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from media_enricher.models import MediaAsset

_SMALLINT = 2**15 - 1
_INTEGER = 2**31 - 1
_BIGINT = 2**63 - 1
_ABOVE_ZERO = math.ulp(0.0)
_LARGEST_FLOAT = sys.float_info.max

_RANGES: tuple[tuple[str, float, float], ...] = (
    ("size_bytes", 0, _BIGINT),
    ("width", 1, _INTEGER),
    ("height", 1, _INTEGER),
    ("orientation", 1, 8),
    ("frame_count", 1, _INTEGER),
    ("bit_depth", 1, _SMALLINT),
    ("page_count", 1, _INTEGER),
    ("page_width_points", _ABOVE_ZERO, _LARGEST_FLOAT),
    ("page_height_points", _ABOVE_ZERO, _LARGEST_FLOAT),
    ("duration_seconds", 0, _LARGEST_FLOAT),
    ("frame_rate", _ABOVE_ZERO, _LARGEST_FLOAT),
    ("bit_rate", 0, _BIGINT),
    ("audio_channels", 1, _SMALLINT),
    ("sample_rate_hz", 1, _INTEGER),
    ("taken_at_offset", -1439, 1439),
    ("rating", -1, 5),
    ("latitude", -90, 90),
    ("longitude", -180, 180),
)
_PATTERNS = {
    "dominant_color": re.compile(r"#[0-9a-f]{6}"),
    "phash": re.compile(r"[0-9a-f]{16}"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
}
_LONGEST_TAG = 255
"""In characters. A key in the index on tags can hold 2,704 bytes."""


def encode_rows(assets: Sequence[MediaAsset]) -> bytes:
    """Encode assets as a JSON array of rows. A column that is left out is null."""
    return b"[" + b",".join(map(_encode_row, assets)) + b"]"


def storable_text(text: str) -> str:
    """Remove NUL characters and replace unpaired surrogates: Postgres accepts neither in text."""
    text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def storable(value: Any) -> Any:
    """Correct a JSON value, at any depth, so that Postgres accepts it."""
    match value:
        case str():
            return storable_text(value)
        case dict():
            return {storable_text(str(key)): storable(item) for key, item in value.items()}
        case list():
            return [storable(item) for item in value]
        case int() | float() if not _is_storable_number(value):
            return None
        case _:
            return value


def _encode_row(asset: MediaAsset) -> bytes:
    """Encode one row. Most need no correction, and checking the encoded form for that is fast."""
    if _is_in_bounds(asset):
        try:
            encoded = msgspec.json.encode(asset)
        except (
            UnicodeEncodeError,
            OverflowError,
        ):  # unpaired surrogate; large integer
            pass
        else:
            if b"\\u0000" not in encoded:
                return encoded
    return msgspec.json.encode(_corrected(asset))


def _is_in_bounds(asset: MediaAsset) -> bool:
    for name, low, high in _RANGES:
        value = getattr(asset, name)
        if value is not None and not low <= value <= high:  # NaN is in no range
            return False
    for name, pattern in _PATTERNS.items():
        value = getattr(asset, name)
        if value is not None and pattern.fullmatch(value) is None:
            return False
    return asset.tags is None or all(len(tag) <= _LONGEST_TAG for tag in asset.tags)


def _corrected(asset: MediaAsset) -> dict[str, Any]:
    columns: dict[str, Any] = msgspec.to_builtins(asset)
    for name, low, high in _RANGES:
        value = columns.get(name)
        if value is not None and not low <= value <= high:
            columns[name] = None
    for name, pattern in _PATTERNS.items():
        value = columns.get(name)
        if value is not None and pattern.fullmatch(value) is None:
            columns[name] = None
    if tags := columns.get("tags"):
        columns["tags"] = [tag[:_LONGEST_TAG] for tag in tags]
    return {name: storable(value) for name, value in columns.items()}


def _is_storable_number(number: float) -> bool:
    return math.isfinite(number) if isinstance(number, float) else abs(number) <= _BIGINT
