"""Which process runs which test under `-n`: a plugin, so that what takes long to start starts once.

One process gets a file whole, for its fixtures. Files that share a site go to one process, and go
first: they take longer than all others.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.needs import UNIT

SHARING = {
    "site": (
        "tests/cli/test_up_elsewhere.py",
        "tests/examples/",
        "tests/setup/test_automations.py",
        "tests/setup/test_operating.py",
        "tests/setup/test_setup.py",
        "tests/setup/test_sharded.py",
        "tests/setup/test_sweep.py",
        "tests/supabase_js/",
    ),
    "slow_site": (
        "tests/browser/test_admin_page.py",
        "tests/browser/test_dashboard.py",
        "tests/browser/test_prefect_ui.py",
    ),
}
"""Where each fixture is used that takes half a minute to start: files, or folders."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for site, files in SHARING.items():
            uses_it = site in getattr(item, "fixturenames", ())
            assert not uses_it or item.nodeid.startswith(files), (
                f"{item.nodeid} uses the fixture {site}, and is not in a file that SHARING in"
                " tests/distribution.py has for it: add the file"
            )
    items.sort(key=lambda item: _site_of(item.nodeid) is None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Whole files, and those of a site together.

    Unit tests share nothing that takes time to start: a process that has none left takes some of
    the other's.
    """
    from xdist.scheduler import LoadScopeScheduling, WorkStealingScheduling

    if config.option.markexpr == UNIT:
        return WorkStealingScheduling(config, log)

    class BySite(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    return BySite(config, log)


def scope_of(nodeid: str) -> str:
    """What a test stays together with: the site that its file shares, or else its file."""
    return _site_of(nodeid) or nodeid.partition("::")[0]


def _site_of(nodeid: str) -> str | None:
    """The site that a test's file shares with others."""
    return next((site for site, files in SHARING.items() if nodeid.startswith(files)), None)
