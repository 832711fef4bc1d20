"""The dashboard, the search of all assets and one asset, in a real browser."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect

from media_enricher.dev.environment import DevEnvironment
from supabase_local import LocalStack
from tests.browser.conftest import PHONE, PHOTOGRAPHS, AdminPage, OpenWindow
from tests.browser.test_admin_page import inspect
from tests.waiting import wait_for


@pytest.fixture(scope="package")
def enriched(slow_site: DevEnvironment, stack_of_site: LocalStack) -> str:
    """The bucket of photographs, once all are enriched."""
    headers = {"authorization": f"Bearer {stack_of_site.service_key}"}
    url = f"{slow_site.gateway_url}/media-enricher"
    with httpx.Client(headers=headers, timeout=60) as gateway:
        answer = gateway.post(f"{url}/backfill", json={"bucket": PHOTOGRAPHS})
        run_id = answer.raise_for_status().json()["run_id"]
        wait_for(
            lambda: gateway.get(f"{url}/runs/{run_id}").json()["status"] == "completed", every=1
        )
    return PHOTOGRAPHS


def test_each_figure_of_the_dashboard_opens_the_assets_behind_it(
    admin_page: AdminPage, enriched: str
) -> None:
    page = admin_page.page
    admin_page.open_as_admin()
    bucket = page.locator(".bucket", has=page.get_by_role("link", name=enriched, exact=True))
    failed = admin_page.table("media_assets", f"bucket=eq.{enriched}&status=eq.failed")
    assert failed
    figure = bucket.locator(".figures div", has_text="Failed")
    expect(figure.locator("dd")).to_have_text(str(len(failed)))

    figure.get_by_role("link").click()
    expect(page.locator("#found .asset")).to_have_count(len(failed))
    expect(page.get_by_label("Status")).to_have_value("failed")
    expect(page.get_by_label("Where")).to_have_value(enriched)
    page.go_back()

    rows = admin_page.table("media_assets", f"bucket=eq.{enriched}&kind=eq.video")
    bucket.get_by_role("link", name=f"video {len(rows)}").click()
    expect(page.locator("#found .asset")).to_have_count(len(rows))


def test_a_search_is_a_link_and_leads_to_an_asset_that_is_enriched_again(
    admin_page: AdminPage, enriched: str
) -> None:
    page = admin_page.page
    admin_page.open_as_admin()
    page.get_by_role("link", name="Assets", exact=True).click()
    expect(page.locator("#found .asset").nth(3)).to_be_visible()
    page.get_by_label("Words").fill("christophe")
    expect(page.locator("#found .asset h4")).to_have_text(["christophe-henner.jpg"])
    assert "words=christophe" in page.url
    page.reload()
    expect(page.get_by_label("Words")).to_have_value("christophe")

    page.get_by_role("link", name="christophe-henner.jpg").click()
    expect(page.locator("#asset-title")).to_have_text("christophe-henner.jpg")
    expect(page.locator("#asset-title")).to_be_focused()
    # Later runs of other tests, which had nothing to do, may be listed before it.
    runs = page.locator(".asset-runs")
    expect(runs.get_by_text("enriched", exact=True).first).to_be_visible()
    (row,) = admin_page.table("media_assets", "path=like.*christophe-henner.jpg")
    fields = page.locator("#asset-view dl.facts")
    for value in (
        row["camera_model"],
        row["sha256"],
        row["content_type"],
        f"{row['size_bytes']:,}",
    ):
        expect(fields).to_contain_text(value)

    page.get_by_role("button", name="Enrich again").click()
    expect(page.get_by_role("log")).to_contain_text("enriched again")
    again = admin_page.table("media_assets", f"id=eq.{row['id']}")[0]
    assert again["enriched_at"] > row["enriched_at"]


def test_what_has_no_metadata_is_listed_and_an_unknown_asset_is_named(
    admin_page: AdminPage, enriched: str
) -> None:
    page = admin_page.page
    admin_page.refusals = {404, 422}
    admin_page.open_as_admin()
    admin_page.open(f"#/assets?bucket={enriched}&only=missing")
    expect(page.locator("#nothing-found")).to_contain_text("Nothing matches")
    page.get_by_label("Where").fill("")
    page.get_by_label("Where").press("Enter")
    expect(page.locator("#nothing-found")).to_contain_text("Choose a bucket")
    for unknown in ("00000000-0000-4000-8000-000000000000", "no-id"):
        admin_page.open(f"#/assets/{unknown}")
        expect(page.locator("#asset-title")).to_have_text("No such asset")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_of_it_is_cut_off_or_inaccessible(
    open_window: OpenWindow, enriched: str, scheme: str
) -> None:
    for name, viewport in (("wide", {"width": 1440, "height": 900}), ("phone", PHONE)):
        window = open_window(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        page = window.page
        window.open_as_admin()
        expect(page.locator(".bucket").first).to_be_visible()
        inspect(window, f"dashboard-{name}-{scheme}")
        window.open(f"#/assets?bucket={enriched}")
        expect(page.locator("#found .asset").nth(3)).to_be_visible()
        inspect(window, f"assets-{name}-{scheme}")
        page.get_by_role("link", name="christophe-henner.jpg").click()
        expect(page.locator("#asset-view h3").first).to_be_visible()
        expect(page.locator("#asset-title")).to_have_text(re.compile("christophe"))
        inspect(window, f"asset-{name}-{scheme}")
