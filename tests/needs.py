"""What a test needs, told by its fixtures: a plugin that marks the tests from that.

A fixture that starts or fetches something asks for a `needs_…` fixture, and every test that uses
it, however indirectly, gets the mark of that name. A test that starts something by itself asks for
one by `pytest.mark.usefixtures("needs_stack")`. No test is marked by hand.

A test that needs nothing gets the mark `unit`, and `tests/unit_guard.py` watches it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

NEEDS = {
    "stack": "Postgres, or the whole local Supabase",
    "prefect": "a Prefect server",
    "browser": "Chromium",
    "node": "Node.js and packages of npm's",
    "cluster": "a Ray or Dask cluster",
    "images": "pictures from packages, fetched on first use",
    "processes": "other processes than its own",
}
"""The marks, and what a test has that has one."""

UNIT = "unit"

WITHOUT_UNIT_TESTS = {"browser", "examples", "flows", "supabase_js"}
"""Folders of `tests/` that `-m unit` does not read, since their imports take seconds."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{UNIT}: needs nothing, not even the network")
    for name, meaning in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: needs {meaning}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders that have no unit tests, if only those are asked for."""
    is_left_out = config.option.markexpr == UNIT and _folder(collection_path) in WITHOUT_UNIT_TESTS
    return is_left_out or None


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        needed = needs_of(item)
        for name in needed or [UNIT]:
            item.add_marker(name)
        assert needed or _folder(item.path) not in WITHOUT_UNIT_TESTS, (
            f"{item.nodeid} needs nothing, and `make test-unit` does not read its folder:"
            " move it, or take the folder out of WITHOUT_UNIT_TESTS in tests/needs.py"
        )


def needs_of(item: pytest.Item) -> list[str]:
    """The marks of a test, from the fixtures it uses."""
    fixtures = set(getattr(item, "fixturenames", ()))
    return [name for name in NEEDS if f"needs_{name}" in fixtures]


def _folder(path: Path) -> str:
    """The folder of `tests/` that a path is in, or is."""
    here = Path(__file__).parent
    return path.relative_to(here).parts[0] if path != here and here in path.parents else ""


@pytest.fixture(scope="session")
def needs_stack() -> None:
    """Postgres, or the whole local Supabase."""


@pytest.fixture(scope="session")
def needs_prefect() -> None:
    """A Prefect server."""


@pytest.fixture(scope="session")
def needs_browser() -> None:
    """Chromium."""


@pytest.fixture(scope="session")
def needs_node() -> None:
    """Node.js, and packages of npm's."""


@pytest.fixture(scope="session")
def needs_cluster() -> None:
    """A Ray or Dask cluster."""


@pytest.fixture(scope="session")
def needs_images() -> None:
    """Pictures from packages, which are fetched on first use."""


@pytest.fixture(scope="session")
def needs_processes() -> None:
    """Other processes than the test's own."""
