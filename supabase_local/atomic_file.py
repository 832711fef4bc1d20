"""Small records that are kept in a file between two starts."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


def write_record(record: msgspec.Struct, file: Path) -> None:
    """Write a record, for its owner's eyes alone. A kill in between leaves the one before."""
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        output.write(msgspec.json.encode(record))
    partial.rename(file)
