"""Imports of much, without a look for garbage in it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage within the block, nor ever among what is there at its end.

    All that is imported stays, and Python looks through it again and again while it grows: that is
    a seventh of the processor time of `python -c "import flows.backfill"`.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
