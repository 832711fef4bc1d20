"""`list` shows one level of folders and files; `list-v2` walks whole names by cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from supabase import Client

from tests.conftest import Put

NAMES = ["B.txt", "a.txt", "folder/x.txt", "folder/y/z.txt", "folder_2/100%.txt".replace("%", "")]


@pytest.fixture
def bucket(make_bucket: Callable[[], str], put: Put) -> str:
    name = make_bucket()
    for key in NAMES:
        put(name, key, b"x")
    return name


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for entry in entries]


def test_folders_are_rows_without_an_id(service: Client, bucket: str) -> None:
    top = service.storage.from_(bucket).list()
    below = service.storage.from_(bucket).list("folder")

    assert names(top) == ["B.txt", "a.txt", "folder", "folder_2"]
    assert [entry["id"] is None for entry in top] == [False, False, True, True]
    assert names(below) == ["x.txt", "y"]


def test_limit_offset_search_and_order(service: Client, bucket: str) -> None:
    files = service.storage.from_(bucket)

    assert names(files.list("", {"limit": 2, "offset": 1})) == ["a.txt", "folder"]
    assert names(files.list("", {"search": "FOLD"})) == ["folder", "folder_2"]
    by_name = files.list("", {"sortBy": {"column": "name", "order": "desc"}})
    assert names(by_name) == ["folder_2", "folder", "a.txt", "B.txt"]


def test_a_missing_bucket_lists_as_empty(service: Client) -> None:
    assert service.storage.from_("no-such-bucket").list() == []


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("column", ["name", "created_at"])
def test_pages_hold_every_name_once(
    http: httpx.Client, bucket: str, column: str, order: str
) -> None:
    walked: list[str] = []
    body: dict[str, Any] = {"limit": 2, "sortBy": {"column": column, "order": order}}
    while True:
        page = http.post(f"/object/list-v2/{bucket}", json=body).json()
        walked += names(page["objects"])
        if not page["hasNext"]:
            break
        body["cursor"] = page["nextCursor"]

    assert walked == (NAMES if order == "asc" else NAMES[::-1])


def test_pages_with_a_delimiter_hold_folders_once(http: httpx.Client, bucket: str) -> None:
    folders, objects = [], []
    body: dict[str, Any] = {"limit": 1, "with_delimiter": True}
    while True:
        page = http.post(f"/object/list-v2/{bucket}", json=body).json()
        folders += names(page["folders"])
        objects += names(page["objects"])
        if not page["hasNext"]:
            break
        body["cursor"] = page["nextCursor"]

    assert (folders, objects) == (["folder/", "folder_2/"], ["B.txt", "a.txt"])


def test_a_prefix_is_a_literal(http: httpx.Client, bucket: str) -> None:
    page = http.post(f"/object/list-v2/{bucket}", json={"prefix": "folder_"}).json()

    assert names(page["objects"]) == ["folder_2/100.txt"]


def test_a_forged_cursor_is_refused(http: httpx.Client, bucket: str) -> None:
    answer = http.post(f"/object/list-v2/{bucket}", json={"cursor": "b29wcw=="})

    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequest")
