"""Which process runs which test under `-n`: a plugin, so that what takes long to start starts once.

One process gets a file whole, for its fixtures. Files that share a site go to one process, and go
first: they take longer than all others. Next are the longest files: of one that begins late, all
other processes would wait for the end.
"""

from __future__ import annotations

from collections.abc import Callable
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

LONGEST = (
    "tests/flows/test_backfill.py",
    "tests/cli/test_up.py",
    "tests/cli/test_demo.py",
    "tests/orchestration/test_kills.py",
    "tests/flows/test_command.py",
    "tests/flows/test_runners.py",
    "tests/package/test_wheel.py",
    "tests/flows/test_corpus.py",
    "tests/bench/test_bench.py",
)
"""Files that take half a minute or more, the longest first."""

_ENDINGS = pytest.StashKey[dict[str, Callable[[], None]]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for site, files in SHARING.items():
            uses_it = site in getattr(item, "fixturenames", ())
            assert not uses_it or item.nodeid.startswith(files), (
                f"{item.nodeid} uses the fixture {site}, and is not in a file that SHARING in"
                " tests/distribution.py has for it: add the file"
            )
    places = {scope: place for place, scope in enumerate((*SHARING, *LONGEST))}
    items.sort(key=lambda item: places.get(scope_of(item.nodeid), len(places)))


def end_after_its_tests(config: pytest.Config, site: str, end: Callable[[], None]) -> None:
    """End a site after the last of its tests.

    Its fixture lasts as long as the session, and idle it takes 7% of a core.

    Args:
        config: of the session.
        site: the name of its fixture.
        end: called then. The fixture still ends at the end of the session, and may call it again.
    """
    config.stash.setdefault(_ENDINGS, {})[site] = end


@pytest.hookimpl(trylast=True)  # after the fixtures of the test, of its file and of its folder
def pytest_runtest_teardown(item: pytest.Item) -> None:
    site = _site_of(item.nodeid)
    if site is None or any(_site_of(each.nodeid) == site for each in _after(item)):
        return
    end = item.config.stash.get(_ENDINGS, {}).pop(site, None)
    if end is not None:
        end()


def _after(item: pytest.Item) -> list[pytest.Item]:
    """The tests that are collected after a test, in this process or another."""
    items = item.session.items
    return items[items.index(item) + 1 :]


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
