"""The Chromium that tests drive."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")
"""The best first: without the windows of a whole browser, a page takes a sixth of the time."""


@contextmanager
def headless_chromium() -> Iterator[Browser]:
    """A headless Chromium for the block: in CI it has to be there.

    Playwright holds the thread's event loop meanwhile, in the way of other tests' own.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        message = (
            "No Chromium on the PATH (Debian's package `chromium-headless-shell`): no browser test"
            " can run."
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox"],  # in CI it runs as root
        )
        yield launched
        launched.close()
