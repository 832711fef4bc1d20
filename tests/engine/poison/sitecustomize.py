"""Run by Python at start-up in a worker of the tests: makes the probe a decoder with bugs.

Real files that crash Pillow get fixed; these bytes stay poisonous.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any

from media_enricher import probe
from media_enricher.models import AssetStatus, Findings

_healthy_full, _healthy_header = probe.probe_full, probe.probe_header


def _die_of(data: Any) -> None:
    match bytes(data[:8]):
        case b"SEGFAULT":
            ctypes.string_at(0)  # here and now; a signal could reach another thread, later
        case b"EXIT NOW":
            os._exit(3)
        case b"HANG ON!":
            time.sleep(3600)
        case b"SPIN ON!":
            while True:
                pass
        case b"HUNGRY!!":
            bytearray(2**31)
        case b"BUGGY !!":
            raise ZeroDivisionError("division by zero")


def _full(data: Any, **details: Any) -> Any:
    _die_of(data)
    match bytes(data[:8]):
        case b"NO UTF-8":
            return Findings(status=AssetStatus.ENRICHED, title="\ud800")
        case b"NO JSON!":
            return Findings(status=AssetStatus.ENRICHED, exif={1: 2})  # type: ignore[dict-item]
    return _healthy_full(data, **details)


def _header(data: Any, **details: Any) -> Any:
    _die_of(data)
    return _healthy_header(data, **details)


probe.probe_full, probe.probe_header = _full, _header
