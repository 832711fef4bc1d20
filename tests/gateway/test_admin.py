"""How the admin page is served; what it does is for the browser tests."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from media_enricher.gateway.routes import admin
from tests.gateway.conftest import Gateway


@pytest.mark.parametrize("mount", ["", "/functions/v1"])
def test_the_page_and_its_files_may_load_nothing_from_elsewhere(
    gateway: Gateway, mount: str
) -> None:
    page = httpx.get(f"{gateway.url}{mount}/media-enricher/admin")
    script = httpx.get(urljoin(str(page.url), "admin/main.js"))

    assert page.headers["content-type"].startswith("text/html")
    assert "javascript" in script.headers["content-type"]
    for answer in (page, script):
        policy = answer.raise_for_status().headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"


def test_a_slash_too_many_leads_back_to_it(gateway: Gateway) -> None:
    answer = httpx.get(f"{gateway.url}/media-enricher/admin/", follow_redirects=True)

    assert str(answer.url) == f"{gateway.url}/media-enricher/admin"
    assert answer.status_code == 200


def test_nothing_but_its_files_is_served(gateway: Gateway) -> None:
    for name in ("../app.py", "..%2fapp.py", "none.js", "%2e%2e/%2e%2e/settings.py"):
        answer = httpx.get(f"{gateway.url}/media-enricher/admin/{name}")
        assert answer.status_code == 404, name


def test_its_configuration_holds_no_secret(gateway: Gateway) -> None:
    answer = gateway.http.get("/admin/config.json")

    assert answer.json() == {
        "supabase_url": gateway.stack.url,
        "publishable_key": gateway.stack.anon_key,
        "default_bucket": "",
    }


def test_the_whole_page_stays_small() -> None:
    """It is loaded as it is written: nothing packs it."""
    folder = Path(admin.__file__).parents[1] / "admin"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 150_000
