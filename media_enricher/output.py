"""What a program prints when nobody reads it any more.

A pipe whose reader was killed raises BrokenPipeError at the next line. rich, which Prefect logs
through, takes that for a wish that the program ends, and raises SystemExit out of a call of the
logger: a run would crash in the middle of the end that its reader's death asks for.
"""

from __future__ import annotations

import io
import sys
from typing import Any, TextIO


def survive_broken_pipes() -> None:
    """Discard what this process prints once nobody reads it, in place of raising.

    To be called before anything keeps `sys.stdout` or `sys.stderr`.
    """
    sys.stdout = _surviving(sys.stdout)
    sys.stderr = _surviving(sys.stderr)


class _Survivor(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _surviving(stream: TextIO) -> TextIO:
    descriptor = _Survivor(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(descriptor),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
    )
