"""Copies of an object onto itself, by which its content type is changed."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from supabase_local import LocalStack
from supabase_local.storage.blobs import PART_BYTES
from tests.conftest import Put
from tests.database import database_of


class Copier:
    """A bucket whose objects are copied onto themselves with the service key."""

    def __init__(self, stack: LocalStack, http: httpx.Client, bucket: str) -> None:
        self._stack = stack
        self._http = http
        self.bucket = bucket

    def copy(
        self, path: str, user_metadata: object = None, *, upsert: bool = True, **body: object
    ) -> httpx.Response:
        headers = {"x-upsert": str(upsert).lower()}
        if user_metadata is not None:
            encoded = base64.b64encode(json.dumps(user_metadata).encode())
            headers["x-metadata"] = encoded.decode()
        keys = {"bucketId": self.bucket, "sourceKey": path, "destinationKey": path}
        return self._http.post("/object/copy", json=keys | body, headers=headers)

    def query(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        return database_of(self._stack.database_url).rows(sql, *arguments)

    def row(self, path: str) -> dict[str, Any]:
        (found,) = self.query(
            "select * from storage.objects where bucket_id = $1 and name = $2", self.bucket, path
        )
        decoded = {
            name: json.loads(found[name] or "null") for name in ("metadata", "user_metadata")
        }
        return found | decoded

    def own(self, path: str, owner: str) -> None:
        self.query(
            "update storage.objects set owner = $3::text::uuid, owner_id = $3"
            " where bucket_id = $1 and name = $2",
            *(self.bucket, path, owner),
        )


@pytest.fixture
def copier(stack: LocalStack, http: httpx.Client, make_bucket: Callable[[], str]) -> Copier:
    return Copier(stack, http, make_bucket())


def test_it_changes_what_is_served_and_drops_the_owner(
    stack: LocalStack, http: httpx.Client, copier: Copier
) -> None:
    album = {"album": "Été 😀", "n": 1}
    headers = {
        "x-metadata": base64.b64encode(json.dumps(album).encode()).decode(),
        "cache-control": "max-age=86400",
    }
    http.post(f"/object/{copier.bucket}/a.png", content=b"bytes", headers=headers)
    copier.own("a.png", stack.users.ada.id)
    before = copier.row("a.png")

    answer = copier.copy("a.png", album, copyMetadata=False, metadata={"mimetype": "image/png"})

    assert answer.status_code == 200, answer.text
    after = copier.row("a.png")
    assert after["version"] == answer.json()["version"] != before["version"]
    for column in ("id", "created_at", "user_metadata"):
        assert after[column] == before[column]
    # The service key is nobody.
    assert (after["owner"], after["owner_id"]) == (None, None)
    changed = {"mimetype": "image/png", "lastModified": after["metadata"]["lastModified"]}
    assert after["metadata"] == before["metadata"] | changed
    served = http.get(f"/object/authenticated/{copier.bucket}/a.png")
    assert served.content == b"bytes"
    assert served.headers["content-type"] == "image/png"
    assert served.headers["cache-control"] == "max-age=86400"


def test_what_is_not_named_stays_but_for_the_users_metadata(
    http: httpx.Client, copier: Copier
) -> None:
    encoded = base64.b64encode(b'{"album": 1}').decode()
    headers = {"x-metadata": encoded, "content-type": "text/plain"}
    http.post(f"/object/{copier.bucket}/a", content=b"a", headers=headers)

    copier.copy("a", copyMetadata=False, metadata={"cacheControl": "max-age=1"})
    after = copier.row("a")
    assert after["user_metadata"] is None
    assert after["metadata"]["cacheControl"] == "max-age=1"
    assert after["metadata"]["mimetype"] == "text/plain"

    copier.copy("a", copyMetadata=False)
    assert copier.row("a")["metadata"]["cacheControl"] == "max-age=1"


def test_a_copy_with_all_metadata_ignores_what_is_named(http: httpx.Client, copier: Copier) -> None:
    encoded = base64.b64encode(b'{"album": 1}').decode()
    http.post(f"/object/{copier.bucket}/a", content=b"a", headers={"x-metadata": encoded})

    copier.copy("a", {"other": 2}, metadata={"mimetype": "image/png"})

    after = copier.row("a")
    assert after["user_metadata"] == {"album": 1}
    assert after["metadata"]["mimetype"] == "application/octet-stream"


def test_it_needs_upsert(http: httpx.Client, copier: Copier, put: Put) -> None:
    put(copier.bucket, "a", b"a")
    refused = copier.copy("a", upsert=False, copyMetadata=False, metadata={"mimetype": "image/png"})
    assert refused.json()["code"] == "KeyAlreadyExists"
    assert http.get(f"/object/authenticated/{copier.bucket}/a").content == b"a"


def test_metadata_that_is_no_json_is_refused(http: httpx.Client, copier: Copier, put: Put) -> None:
    put(copier.bucket, "a", b"a")
    keys = {"bucketId": copier.bucket, "sourceKey": "a", "destinationKey": "a"}
    refused = http.post(
        "/object/copy",
        json=keys | {"copyMetadata": False},
        headers={"x-upsert": "true", "x-metadata": "!"},
    )
    assert refused.json()["code"] == "InvalidRequest"


def test_several_parts_become_one(copier: Copier, put: Put) -> None:
    data = b"\0" * (PART_BYTES + 1)
    put(copier.bucket, "large", data)
    assert copier.row("large")["metadata"]["eTag"].endswith('-2"')

    copier.copy("large", copyMetadata=False, metadata={"mimetype": "video/mp4"})

    expected = hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert copier.row("large")["metadata"]["eTag"] == f'"{expected}"'
