"""Small records in a file: written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


def write_record(record: msgspec.Struct, file: Path) -> None:
    """Write a record as JSON, readable by its owner only (mode 0600).

    A process that is killed meanwhile leaves the record that was there before.
    """
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        output.write(msgspec.json.encode(record))
    partial.rename(file)
