"""All assets together over HTTP: totals, searches and one asset, for admins and tenants' admins."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Put
from tests.gateway.conftest import Gateway, Tokens

TENANT = "0a5a7a70-0000-4000-8000-0000000000aa"
PATHS = ("a b.jpg", f"{TENANT}/mine.jpg", "zebra.jpg")


@pytest.fixture
def filled(gateway: Gateway, bucket: str, put: Put) -> str:
    """A bucket with three assets, one of a tenant, and an object without one."""
    for path in (*PATHS, "new.jpg"):
        put(bucket, path, path.encode(), "image/jpeg")
    gateway.query(
        "insert into media_assets (bucket, path, tenant_id, status, depth, enricher_version, kind,"
        " size_bytes, phash, title) select $1, p, media_tenant_id($1, p), 'enriched', 'full', 1,"
        " 'image', 10, substr(md5($1), 1, 16), 'A title' from unnest($2::text[]) p",
        bucket,
        list(PATHS),
    )
    return bucket


def get(gateway: Gateway, token: str, route: str, **params: Any) -> Any:
    return gateway.get(route, token, **params).raise_for_status().json()


def test_an_admin_finds_all_assets_and_a_tenants_admin_their_tenants(
    gateway: Gateway, tokens: Tokens, filled: str
) -> None:
    service = gateway.stack.service_key
    page = get(gateway, service, "/assets", bucket=filled, words="TIT", limit=2)
    rest = get(gateway, service, "/assets", bucket=filled, words="TIT", after=page["next"])
    found = page["assets"] + rest["assets"]
    assert [asset["path"] for asset in found] == sorted(PATHS)
    assert rest["next"] is None
    for asset in found:
        assert httpx.get(asset["picture_url"]).content == asset["path"].encode()
    assert get(gateway, service, "/assets", bucket=filled, color="blue")["assets"] == []

    own = get(gateway, tokens.tenant_admin(TENANT), "/assets", bucket=filled)["assets"]
    assert [asset["path"] for asset in own] == [f"{TENANT}/mine.jpg"]


def test_one_asset_has_its_row_its_runs_and_its_look_alikes(
    gateway: Gateway, tokens: Tokens, filled: str
) -> None:
    run_id = gateway.as_service("/backfill", bucket=filled).json()["run_id"]
    gateway.query("update media_assets set run_id = $1 where bucket = $2", run_id, filled)
    (zebra,) = get(gateway, tokens.admin, "/assets", bucket=filled, words="zebra")["assets"]

    found = get(gateway, tokens.admin, f"/assets/{zebra['id']}")

    assert found["asset"]["size_bytes"] == 10
    assert httpx.get(found["picture_url"]).content == b"zebra.jpg"
    assert [(run["id"], run["is_last"], run["outcome"]) for run in found["runs"]] == [
        (run_id, True, "enriched")
    ]
    assert {asset["path"] for asset in found["similar"]} == set(PATHS) - {"zebra.jpg"}

    tenants = tokens.tenant_admin(TENANT)
    refused = gateway.get(f"/assets/{zebra['id']}", tenants)
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_asset")
    (own,) = get(gateway, tenants, "/assets", bucket=filled)["assets"]
    assert get(gateway, tenants, f"/assets/{own['id']}")["similar"] == []
    assert gateway.get(f"/assets/{uuid4()}", tokens.admin).status_code == 404


def test_the_dashboard_has_totals_and_a_tenants_share(
    gateway: Gateway, tokens: Tokens, filled: str
) -> None:
    def objects(token: str) -> int:
        (bucket,) = (
            each
            for each in get(gateway, token, "/dashboard")["buckets"]
            if each["bucket"] == filled
        )
        return sum(each["objects"] for each in bucket["totals"] if each["facet"] == "status")

    assert objects(tokens.admin) == 3
    assert objects(tokens.tenant_admin(TENANT)) == 1
    assert get(gateway, tokens.tenant_admin(str(uuid4())), "/dashboard")["buckets"] == []


def test_what_has_no_metadata_is_listed(gateway: Gateway, tokens: Tokens, filled: str) -> None:
    page = get(gateway, tokens.admin, "/missing", bucket=filled, limit=1, after="n")
    assert [each["path"] for each in page["objects"]] == ["new.jpg"]
    assert page["next"] == "new.jpg"
    rest = get(gateway, tokens.tenant_admin(TENANT), "/missing", bucket=filled, after="")
    assert all(each["path"].startswith(TENANT) for each in rest["objects"])


@pytest.mark.parametrize("route", ["/dashboard", "/assets", "/missing?bucket=b"])
def test_only_admins_see_the_assets_of_others(gateway: Gateway, tokens: Tokens, route: str) -> None:
    assert gateway.get(route).status_code == 401
    refused = gateway.get(route, tokens.of())
    assert (refused.status_code, refused.json()["code"]) == (403, "not_admin")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"color": "mauve"}, "color"),
        ({"kind": "song"}, "kind"),
        ({"after": "page 2"}, "after"),
        ({"limit": 0}, "limit"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_filter_that_makes_no_sense_is_named(
    gateway: Gateway, params: dict[str, Any], field: str
) -> None:
    refused = gateway.get("/assets", gateway.stack.service_key, **params)
    assert (refused.status_code, refused.json()["field"]) == (422, field)


def test_any_text_may_be_searched_for(gateway: Gateway, filled: str) -> None:
    for words in ("'", "\\", "a & !b:*", "\x00", "%", "\U0001f305", "a" * 200):
        answer = gateway.get("/assets", gateway.stack.service_key, words=words, label=words[:99])
        assert answer.status_code == 200, (words, answer.text)
