"""Under `-n`, a site starts once: the list of who uses it is whole, and is heeded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.distribution import (
    LONGEST,
    SHARING,
    end_after_its_tests,
    pytest_collection_modifyitems,
    pytest_runtest_teardown,
    scope_of,
)

ROOT = Path(__file__).parents[1]


def item(nodeid: str, *fixtures: str) -> pytest.Item:
    return cast("pytest.Item", SimpleNamespace(nodeid=nodeid, fixturenames=fixtures))


@pytest.mark.parametrize(
    "name", [*LONGEST, *(name for names in SHARING.values() for name in names)]
)
def test_each_file_or_folder_is_there(name: str) -> None:
    assert (ROOT / name).exists()


def test_a_test_that_starts_a_site_in_another_file_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"tests/a\.py::test_b uses the fixture site"):
        pytest_collection_modifyitems([item("tests/a.py::test_b", "site", "tmp_path")])


def test_those_of_a_site_go_first_and_keep_their_order() -> None:
    nodeids = ["tests/a.py::test_1", "tests/examples/b.py::test_2", "tests/a.py::test_3"]
    nodeids.append("tests/supabase_js/c.py::test_4")
    items = [item(nodeid) for nodeid in nodeids]
    pytest_collection_modifyitems(items)
    assert [each.nodeid[-1] for each in items] == ["2", "4", "1", "3"]


def test_the_longest_files_go_before_the_others() -> None:
    longest = [f"{file}::test_1" for file in LONGEST]
    items = [item(nodeid) for nodeid in ("tests/a.py::test_2", *reversed(longest))]
    items.append(item("tests/examples/b.py::test_3", "site"))
    pytest_collection_modifyitems(items)
    assert [each.nodeid for each in items] == [
        "tests/examples/b.py::test_3",
        *longest,
        "tests/a.py::test_2",
    ]


def test_a_site_ends_after_the_last_of_its_tests() -> None:
    class Config:
        stash = pytest.Stash()

    ended: list[str] = []
    files = ("examples/a", "examples/b", "browser/test_admin_page", "setup/test_setup", "c")
    items = [item(f"tests/{file}.py::test") for file in files]
    config = cast("pytest.Config", Config())
    for each in items:
        vars(each).update(config=config, session=SimpleNamespace(items=items))
    end_after_its_tests(config, "site", lambda: ended.append("site"))

    ended_after = []
    for each in items:
        pytest_runtest_teardown(each)
        ended_after.append(list(ended))

    assert ended_after == [[], [], [], ["site"], ["site"]]


def test_one_process_gets_a_file_and_all_of_a_site() -> None:
    of_the_site = {
        scope_of("tests/examples/a.py::test_1"),
        scope_of("tests/supabase_js/b.py::test"),
    }
    assert of_the_site == {"site"}
    assert scope_of("tests/browser/test_admin_page.py::test_1") == "slow_site"
    assert scope_of("tests/a.py::test_1[x::y]") == "tests/a.py"
