"""Under `-n`, a site starts once: the list of who uses it is whole, and is heeded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.distribution import SHARING, pytest_collection_modifyitems, scope_of

ROOT = Path(__file__).parents[1]


def item(nodeid: str, *fixtures: str) -> pytest.Item:
    return cast("pytest.Item", SimpleNamespace(nodeid=nodeid, fixturenames=fixtures))


@pytest.mark.parametrize("name", [name for names in SHARING.values() for name in names])
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


def test_one_process_gets_a_file_and_all_of_a_site() -> None:
    of_the_site = {
        scope_of("tests/examples/a.py::test_1"),
        scope_of("tests/supabase_js/b.py::test"),
    }
    assert of_the_site == {"site"}
    assert scope_of("tests/browser/test_admin_page.py::test_1") == "slow_site"
    assert scope_of("tests/a.py::test_1[x::y]") == "tests/a.py"
