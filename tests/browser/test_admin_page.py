"""The admin page in a real browser, against everything that `media-enricher up` starts."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from media_enricher.dev.environment import DevEnvironment
from supabase_local import LocalStack
from tests.browser.conftest import (
    MANY,
    MANY_OBJECTS,
    PHONE,
    PHOTOGRAPHS,
    WIDE,
    AdminPage,
    OpenWindow,
)

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="package")
def finished_run(browser: Any, slow_site: DevEnvironment, stack_of_site: LocalStack) -> str:
    """A completed run over the photographs, started on the page as anyone would."""
    page = browser.new_page()
    admin_page = AdminPage(page, f"{slow_site.gateway_url}/media-enricher/admin", stack_of_site)
    admin_page.open_as_admin()
    admin_page.ask_for(PHOTOGRAPHS, mode="all")
    run_id = admin_page.start()
    admin_page.expect_status("Completed")
    page.close()
    return run_id


def test_signing_in_lasts_until_one_signs_out(admin_page: AdminPage) -> None:
    page = admin_page.page
    admin_page.open()
    admin_page.screenshot("signed-out")
    admin_page.sign_in(admin_page.stack.users.admin)
    expect(page.get_by_text(admin_page.stack.users.admin.email)).to_be_visible()

    page.reload()
    expect(page.get_by_role("heading", name="Start a run")).to_be_visible()
    expect(page.get_by_label("Bucket")).to_have_value(PHOTOGRAPHS)

    page.get_by_role("button", name="Sign out").click()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("heading", name="Start a run")).to_be_hidden()


def test_a_wrong_password_is_refused_in_a_sentence(admin_page: AdminPage) -> None:
    admin_page.refusals = {400}
    admin_page.open()
    admin_page.sign_in(admin_page.stack.users.admin, "not the password")
    expect(admin_page.page.get_by_role("alert").first).to_contain_text(
        "Wrong e-mail address or password"
    )
    expect(admin_page.page.get_by_label("Password")).to_be_focused()
    admin_page.screenshot("wrong-password")


def test_a_run_is_counted_started_and_watched_to_its_end(admin_page: AdminPage) -> None:
    page = admin_page.page
    admin_page.open_as_admin()
    admin_page.ask_for(MANY, mode="all")
    page.get_by_role("button", name="Count first").click()
    expect(page.locator("#counted")).to_contain_text(f"{MANY_OBJECTS:,} objects. A run reads ")
    admin_page.screenshot("counted")

    run_id = admin_page.start()
    expect(admin_page.run.get_by_role("heading", name=MANY)).to_be_focused()
    expect(page.locator("#run-list [aria-current]")).to_have_attribute("href", f"#/runs/{run_id}")
    item = page.locator(f"#run-list li:has(a[href='#/runs/{run_id}'])")
    watched = _watch(item)
    expect(item.locator(".amount")).to_have_text(
        re.compile(rf"^(1,\d{{3}}|[3-9]\d\d) of {MANY_OBJECTS:,}$")
    )
    _screenshots_of_a_run_under_way(admin_page)
    expect(item.locator(".status")).to_have_text("Completed")
    expect(item.locator(".amount")).to_have_text(f"{MANY_OBJECTS:,} of {MANY_OBJECTS:,}")
    expect(page.locator("#announcer")).to_contain_text("completed")
    seen = watched()
    assert [status for status in seen["status"] if status != "Queued"] == ["Running", "Completed"]
    assert any("objects/s" in pace and "left" in pace for pace in seen["pace"])
    assert len(seen["amount"]) > 3

    (row,) = admin_page.table("media_enrich_runs", f"id=eq.{run_id}")
    assert (row["succeeded"], row["trigger"]) == (MANY_OBJECTS, "http")
    assert row["requested_by"] == admin_page.stack.users.admin.id


def _screenshots_of_a_run_under_way(window: AdminPage) -> None:
    """Keep how it looks in each colour scheme and on a phone, while it is between 0 and 100%."""
    for scheme in ("light", "dark"):
        window.page.emulate_media(color_scheme=scheme)
        window.screenshot(f"running-{scheme}")
    window.page.emulate_media(color_scheme="light")
    window.page.set_viewport_size(PHONE)
    window.screenshot("running-phone")
    window.page.set_viewport_size(WIDE)


def test_a_second_start_finds_the_run_under_way_which_can_be_cancelled(
    admin_page: AdminPage,
) -> None:
    page = admin_page.page
    admin_page.open_as_admin()
    admin_page.ask_for(MANY, mode="all")
    cancels: list[str] = []

    def count_cancels(route: Route) -> None:
        cancels.append(route.request.url)
        route.continue_()

    page.route("**/cancel", count_cancels)
    run_id = admin_page.start()
    page.get_by_role("log").get_by_role("button", name="Dismiss").click()
    assert admin_page.start() == run_id
    expect(page.get_by_role("log")).to_contain_text("already under way")
    admin_page.screenshot("already-running")

    admin_page.expect_status("Running")
    admin_page.run.get_by_role("button", name="Cancel run").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Cancel the run of {MANY}?")
    admin_page.screenshot("confirming")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(admin_page.run.get_by_role("button", name="Cancel run")).to_be_enabled()
    assert cancels == []

    admin_page.run.get_by_role("button", name="Cancel run").click()
    dialog.get_by_role("button", name="Cancel the run").click()
    admin_page.expect_status("Cancelled")
    admin_page.screenshot("cancelled")
    (row,) = admin_page.table("media_enrich_runs", f"id=eq.{run_id}")
    assert row["status"] == "cancelled"
    assert row["processed_files"] < MANY_OBJECTS


def test_a_user_who_is_no_admin_is_told_so(admin_page: AdminPage) -> None:
    page = admin_page.page
    admin_page.open()
    admin_page.sign_in(admin_page.stack.users.ada)
    expect(page.get_by_role("heading", name="No access")).to_be_visible()
    expect(page.locator("#refused")).to_contain_text(
        f"signed in as {admin_page.stack.users.ada.email}. This account may not start"
    )
    expect(page.get_by_role("heading", name="Start a run")).to_be_hidden()
    admin_page.screenshot("refused-user")
    page.locator("#refused").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_tenants_admin_is_kept_in_their_folder(admin_page: AdminPage, finished_run: str) -> None:
    page, ben = admin_page.page, admin_page.stack.users.ben
    admin_page.refusals = {403}
    admin_page.open()
    admin_page.sign_in(ben)
    expect(page.get_by_label("Bucket")).to_have_value(PHOTOGRAPHS)
    expect(page.get_by_label("Prefix")).to_have_value(f"{ben.tenant_id}/")
    expect(page.locator("#prefix-hint")).to_contain_text("one tenant")
    expect(page.locator(f"a[href='#/runs/{finished_run}']")).to_have_count(0)

    page.get_by_label("Prefix").fill("formats/")
    page.get_by_role("button", name="Start run").click()
    expect(page.locator("#start-error")).to_contain_text("your tenant's folder")
    expect(page.get_by_label("Prefix")).to_be_focused()
    admin_page.screenshot("tenant-admin")

    page.get_by_label("Prefix").fill(f"{ben.tenant_id}/")
    page.get_by_label("Objects").select_option("all")
    admin_page.start()
    admin_page.expect_status("Completed")
    expect(page.locator(".asset h4")).to_have_text(["portrait.jpg"])


def test_no_bucket_is_suggested_into_a_field_that_is_being_filled_in(
    admin_page: AdminPage,
) -> None:
    page, field = admin_page.page, admin_page.page.get_by_label("Bucket")
    held: list[Route] = []
    page.route("**/buckets", lambda route: held.append(route))  # noqa: PLW0108 - it marks it
    with page.expect_request("**/buckets"):
        admin_page.open_as_admin()
    field.focus()
    with page.expect_response("**/buckets"):
        held.pop().continue_()
    expect(page.locator("#buckets option").first).to_be_attached()
    page.keyboard.type("mine")

    expect(field).to_have_value("mine")


def test_a_refusal_of_the_gateway_is_shown_as_its_sentence(admin_page: AdminPage) -> None:
    page = admin_page.page
    admin_page.refusals = {404}
    admin_page.open_as_admin()
    admin_page.ask_for("no-such-bucket")
    with page.expect_response("**/backfill*") as refused:
        page.get_by_role("button", name="Start run").click()
    sentence = refused.value.json()["error"]
    assert "no-such-bucket" in sentence
    expect(page.locator("#start-error")).to_have_text(sentence)
    admin_page.screenshot("refused-request")

    page.get_by_label("Bucket").fill(PHOTOGRAPHS)
    expect(page.locator("#start-error")).to_be_empty()


def test_the_gallery_shows_what_was_found(admin_page: AdminPage, finished_run: str) -> None:
    page = admin_page.page
    admin_page.open_as_admin(f"#/runs/{finished_run}")
    (row,) = admin_page.table(
        "media_assets", f"bucket=eq.{PHOTOGRAPHS}&path=eq.cameras/christophe-henner.jpg"
    )
    card = _card(admin_page, "christophe-henner.jpg")
    card.scroll_into_view_if_needed()
    expect(card.locator(".measures")).to_contain_text(
        f"{row['width']:,} \N{MULTIPLICATION SIGN} {row['height']:,}"
    )
    expect(card.locator(".measures")).to_contain_text(row["content_type"])
    expect(card).to_contain_text(row["camera_model"])
    assert card.locator(".palette code").all_inner_texts() == row["palette"]
    swatches = card.locator(".swatch").evaluate_all(
        "swatches => swatches.map(each => getComputedStyle(each).backgroundColor)"
    )
    assert swatches == [_rgb(colour) for colour in row["palette"]]

    frame = card.locator(".picture").bounding_box()
    assert frame
    assert frame["width"] / frame["height"] == pytest.approx(row["width"] / row["height"], rel=0.02)
    assert len(set(_pixels(card.locator("canvas").first))) > 100
    tagged = admin_page.table("media_assets", f"run_id=eq.{finished_run}&tags=not.is.null")
    for asset in tagged:
        name = asset["path"].rsplit("/", 1)[-1]
        tags = _card(admin_page, name).locator(".tags:not(.labels) li")
        assert tags.all_inner_texts() == asset["tags"]
    admin_page.screenshot("gallery")

    page.get_by_label("Show").select_option("failed")
    expect(page.locator(".asset")).to_have_count(2)
    expect(_card(admin_page, "empty.jpg")).to_contain_text("empty: The object has no bytes.")
    expect(page.locator("#run .reasons")).to_contain_text("1 object truncated")
    page.locator("#run .reasons").scroll_into_view_if_needed()
    admin_page.screenshot("failures")


def test_cards_load_no_large_originals(admin_page: AdminPage, finished_run: str) -> None:
    page = admin_page.page
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    admin_page.open_as_admin(f"#/runs/{finished_run}")

    small = _card(admin_page, "filippo-giunchedi.jpg").locator("img")
    small.scroll_into_view_if_needed()
    expect(small).to_have_js_property("complete", True)
    assert small.evaluate("image => image.naturalWidth") > 0
    large = _card(admin_page, "christophe-henner.jpg")
    expect(large.locator("img")).to_be_hidden()
    expect(large).to_contain_text("Placeholder of a large picture")
    sizes = {
        row["path"]: row["size_bytes"]
        for row in admin_page.table("media_assets", f"run_id=eq.{finished_run}")
    }
    pictures = [unquote(urlsplit(url).path) for url in loaded if "/object/sign/" in url]
    assert pictures
    for picture in pictures:
        assert sizes[picture.partition(f"/{PHOTOGRAPHS}/")[2]] <= 1_000_000, picture


def test_cards_show_the_smaller_pictures_that_storage_makes(
    admin_page: AdminPage, finished_run: str
) -> None:
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="

    def with_previews(route: Route) -> None:
        answer = route.fetch()
        found = answer.json()
        for asset in found["assets"]:
            asset["preview_url"] = pixel if asset["kind"] == "image" else None
        route.fulfill(response=answer, json=found)

    admin_page.page.route("**/assets?*", with_previews)
    admin_page.open_as_admin(f"#/runs/{finished_run}")
    picture = _card(admin_page, "christophe-henner.jpg").locator("img")
    expect(picture).to_be_visible()
    assert picture.get_attribute("src") == pixel


def test_failures_are_counted_and_retried(admin_page: AdminPage, finished_run: str) -> None:
    page = admin_page.page
    admin_page.open_as_admin(f"#/runs/{finished_run}")
    admin_page.run.get_by_role("button", name="Retry failures").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("A new run tries 2 failed objects again.")
    admin_page.screenshot("retrying")
    dialog.get_by_role("button", name="Retry failures").click()
    expect(page).not_to_have_url(re.compile(finished_run))
    admin_page.expect_status(re.compile("^(Completed|Failed)$"))

    (row,) = admin_page.table("media_enrich_runs", f"id=eq.{page.url.rpartition('/')[2]}")
    assert (row["mode"], row["total_files"]) == ("failed", 2)


def test_a_run_opened_in_a_new_tab_is_signed_in(admin_page: AdminPage, finished_run: str) -> None:
    page = admin_page.page
    admin_page.open_as_admin()
    newest = page.locator("#run-list a").first
    expect(newest).to_have_attribute("aria-current", "true")
    expect(admin_page.run.locator("[data-part=status]")).to_be_visible()

    with page.context.expect_page() as opened:
        page.locator(f"#run-list a[href='#/runs/{finished_run}']").click(
            modifiers=["ControlOrMeta"]
        )
    tab = opened.value
    expect(tab.locator("#run-title")).to_have_text(PHOTOGRAPHS)
    expect(tab.locator("#run-view")).to_contain_text(finished_run)

    page.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_form_says_what_a_run_costs_and_offers_less(admin_page: AdminPage) -> None:
    page = admin_page.page
    admin_page.refusals = {404}
    asked: list[dict[str, Any]] = []
    costly = {
        "objects": 40_000,
        "size_bytes": 120e9,
        "estimated_read_bytes": 118e9,
        "estimated_seconds": 7_320,
        "suggestion": {"message": "Depth header reads 2.6 GB."},
    }

    def answer(route: Route) -> None:
        asked.append(route.request.post_data_json or {})
        if asked[-1].get("dry_run"):
            route.fulfill(json=costly)
        else:
            route.fulfill(status=404, json={"error": "Not this time.", "code": "unknown_bucket"})

    page.route("**/backfill", answer)
    admin_page.open_as_admin()
    admin_page.ask_for(PHOTOGRAPHS)
    page.get_by_label("Read at most").fill("0.5")
    page.get_by_role("button", name="Count first").click()
    expect(page.locator("#counted")).to_have_text(
        "40,000 objects. A run reads 118 GB of 120 GB, in about 2 h 2 min. "
        "Depth header reads 2.6 GB."
    )
    assert asked[-1]["max_bytes"] == 500_000_000

    page.get_by_label("Read at most").fill("")
    page.get_by_role("button", name="Start run").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Read 118 GB of 120 GB, in about 2 h 2 min?")
    expect(dialog.get_by_role("button", name="Use header depth")).to_be_focused()
    admin_page.screenshot("costly")
    page.keyboard.press("Enter")
    expect(page.locator("#start-error")).to_have_text("Not this time.")
    assert (asked[-1]["depth"], "max_bytes" in asked[-1]) == ("header", False)


def test_the_gallery_shows_films_sounds_and_documents(
    admin_page: AdminPage, finished_run: str
) -> None:
    admin_page.open_as_admin(f"#/runs/{finished_run}")
    admin_page.page.get_by_role("button", name="Show more").click()
    shown = {
        "terrace.mp4": ("video", "0:04"),
        "evening.mp3": ("audio", "0:04"),
        "brochure.pdf": ("document", "3 pages"),
    }
    for name, (kind, measure) in shown.items():
        card = _card(admin_page, name)
        card.scroll_into_view_if_needed()
        expect(card.get_by_role("img", name=kind)).to_be_visible()
        expect(card.locator(".measures")).to_contain_text(measure)
        expect(card.locator("img")).to_be_hidden()
        assert len(set(_pixels(card.locator("canvas").first))) > 50, name
    phone = _card(admin_page, "phone.heic")
    expect(phone.locator(".labels")).to_contain_text("portrait")
    expect(phone).to_contain_text("taken 1 Jun 2026, 18:30")  # by the clock of where it was taken
    assert len(set(_pixels(phone.locator("canvas").first))) > 50
    admin_page.screenshot("films-sounds-documents")


def test_a_long_gallery_is_shown_a_page_at_a_time(admin_page: AdminPage, finished_run: str) -> None:
    page = admin_page.page
    found = admin_page.table("media_assets", f"select=path&run_id=eq.{finished_run}")
    assert len(found) > 24
    admin_page.open_as_admin(f"#/runs/{finished_run}")
    expect(page.locator(".asset")).to_have_count(24)
    page.locator("#run").get_by_role("button", name="Show more").click()
    expect(page.locator(".asset")).to_have_count(len(found))
    expect(page.locator("#run").get_by_role("button", name="Show more")).to_be_hidden()


def test_the_snapshot_downloads_as_parquet(admin_page: AdminPage, finished_run: str) -> None:
    admin_page.open_as_admin(f"#/runs/{finished_run}")
    links = admin_page.run.get_by_role("link", name=".parquet")
    expect(links.first).to_be_visible()
    paths: list[str] = []
    for link in links.all():
        with admin_page.page.expect_download() as download:
            link.click()
        table = pq.read_table(io.BytesIO(download.value.path().read_bytes()))
        assert download.value.suggested_filename.endswith(".parquet")
        paths += table.column("path").to_pylist()
    assert "cameras/christophe-henner.jpg" in paths


def test_a_run_leads_to_prefects_own_page_of_it(
    admin_page: AdminPage, finished_run: str, slow_site: DevEnvironment
) -> None:
    admin_page.open_as_admin(f"#/runs/{finished_run}")
    link = admin_page.run.get_by_role("link", name="Open in Prefect")
    expect(link).to_have_attribute(
        "href", re.compile(rf"^{slow_site.prefect_url}.*{finished_run}$")
    )


def test_a_link_to_an_unknown_run_says_so(admin_page: AdminPage) -> None:
    admin_page.refusals = {404}
    unknown = str(uuid4())
    admin_page.open_as_admin(f"#/runs/{unknown}")
    expect(admin_page.run.get_by_role("heading", name="No such run")).to_be_visible()
    expect(admin_page.run).to_contain_text(unknown)


def test_the_keyboard_alone_starts_and_opens_a_run(admin_page: AdminPage) -> None:
    page, admin = admin_page.page, admin_page.stack.users.admin
    admin_page.open()
    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type(admin.email)
    page.keyboard.press("Tab")
    page.keyboard.type(admin.password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Start a run")).to_be_visible()

    _tab_to(page, page.get_by_label("Prefix"))
    page.keyboard.type("nothing-starts-like-this/")
    _tab_to(page, page.get_by_role("button", name="Start run"))
    page.keyboard.press("Enter")
    expect(page.locator("#run-title")).to_be_focused()


def test_a_poll_moves_neither_focus_nor_scroll(admin_page: AdminPage, finished_run: str) -> None:
    page = admin_page.page
    admin_page.open_as_admin(f"#/runs/{finished_run}")
    _card(admin_page, "christophe-henner.jpg").scroll_into_view_if_needed()
    page.locator("#run-list a").first.focus()
    before = page.evaluate("[scrollY, document.activeElement.href]")
    with page.expect_response("**/runs?*"):
        admin_page.look_again()
    page.wait_for_timeout(200)
    assert page.evaluate("[scrollY, document.activeElement.href]") == before


def test_a_refused_token_is_refreshed_once_and_then_given_up(admin_page: AdminPage) -> None:
    page = admin_page.page
    admin_page.refusals = {400, 401}
    admin_page.open_as_admin()
    _spoil(page, "access_token")
    page.reload()
    expect(page.get_by_role("heading", name="Start a run")).to_be_visible()

    _spoil(page, "access_token", "refresh_token")
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#sign-in-error")).to_have_text("Your session has expired. Sign in again.")


def test_a_gateway_that_goes_away_is_said_and_waited_for(admin_page: AdminPage) -> None:
    page = admin_page.page
    admin_page.open_as_admin()
    page.route("**/runs?*", lambda route: route.abort())
    admin_page.look_again()
    expect(page.locator("#trouble")).to_contain_text("Cannot reach")
    admin_page.screenshot("gateway-away")
    page.unroute("**/runs?*")
    expect(page.locator("#trouble")).to_be_hidden()
    assert all("ERR_FAILED" in complaint for complaint in admin_page.complaints)
    admin_page.complaints.clear()


def test_a_start_whose_answer_was_lost_is_sent_again_with_the_same_key(
    admin_page: AdminPage,
) -> None:
    page = admin_page.page
    keys: list[str] = []

    def once_away(route: Route) -> None:
        if "dry_run" in (route.request.post_data or ""):
            route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fulfill(
                status=503,
                headers={"retry-after": "1"},
                json={"error": "Prefect does not answer.", "code": "unavailable"},
            )
        else:
            route.continue_()

    page.route("**/backfill", once_away)
    admin_page.open_as_admin()
    admin_page.ask_for(PHOTOGRAPHS, "nothing-here/")
    run_id = admin_page.start()
    assert len(keys) > 1
    assert len(set(keys)) == 1
    assert admin_page.table("media_enrich_runs", f"id=eq.{run_id}")


def test_too_many_requests_are_held_back_for_as_long_as_was_asked(admin_page: AdminPage) -> None:
    page = admin_page.page
    admin_page.refusals = {429}
    page.route(
        "**/backfill",
        lambda route: route.fulfill(
            status=429,
            headers={"retry-after": "2"},
            json={"error": "Too many runs are under way.", "code": "too_many_runs"},
        ),
    )
    admin_page.open_as_admin()
    admin_page.ask_for(PHOTOGRAPHS)
    start = page.get_by_role("button", name="Start run")
    start.click()
    expect(page.locator("#start-error")).to_contain_text("Try again in")
    expect(start).to_have_attribute("aria-disabled", "true")
    admin_page.screenshot("too-many")
    expect(start).not_to_have_attribute("aria-disabled", "true")


def test_the_page_works_behind_supabases_functions_prefix(
    open_window: OpenWindow, stack_of_site: LocalStack, finished_run: str
) -> None:
    window = open_window(base=f"{stack_of_site.url}/functions/v1")
    window.open_as_admin(f"#/runs/{finished_run}")
    expect(window.run.get_by_role("heading", name="christophe-henner.jpg")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_or_inaccessible(
    open_window: OpenWindow, finished_run: str, scheme: str
) -> None:
    for name, viewport in (("wide", {"width": 1440, "height": 900}), ("phone", PHONE)):
        window = open_window(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        window.open()
        inspect(window, f"sign-in-{name}-{scheme}")
        window.sign_in(window.stack.users.admin)
        expect(window.page.locator(".run-item").first).to_be_visible()
        inspect(window, f"form-{name}-{scheme}")
        tops = window.page.evaluate(
            "['runs', 'start'].map(id => document.getElementById(id).getBoundingClientRect().top)"
        )
        assert tops[0] <= tops[1], "the form comes before the runs"
        window.open(f"#/runs/{finished_run}")
        expect(_card(window, "christophe-henner.jpg")).to_be_visible()
        inspect(window, f"run-{name}-{scheme}")


def test_blurhashes_are_drawn_as_the_reference_decodes_them(admin_page: AdminPage) -> None:
    import blurhash

    hashes = ["LEHV6nWB2yk8pyo0adR*.7kCMdnj", "LGF5]+Yk^6#M@-5c,1J5@[or[Q6.", "00OZZy"]
    admin_page.open()
    for code in hashes:
        drawn = admin_page.page.evaluate(
            """async ([script, code]) => {
                const { drawBlurhash } = await import(script);
                const canvas = Object.assign(document.createElement("canvas"),
                    { width: 32, height: 20 });
                drawBlurhash(canvas, code);
                return [...canvas.getContext("2d").getImageData(0, 0, 32, 20).data];
            }""",
            [f"{admin_page.url}/blurhash.js", code],
        )
        reference = [
            channel
            for row in blurhash.decode(code, 32, 20)
            for pixel in row
            for channel in (*pixel, 255)
        ]
        assert max(abs(ours - theirs) for ours, theirs in zip(drawn, reference, strict=True)) <= 1


def _card(window: AdminPage, name: str) -> Locator:
    return window.page.locator(".asset", has=window.page.get_by_role("heading", name=name))


def _rgb(colour: str) -> str:
    red, green, blue = bytes.fromhex(colour[1:])
    return f"rgb({red}, {green}, {blue})"


def _pixels(canvas: Locator) -> list[str]:
    pixels: list[str] = canvas.evaluate(
        """canvas => {
            const { data } = canvas.getContext("2d").getImageData(
                0, 0, canvas.width, canvas.height);
            return Array.from({ length: data.length / 4 }, (_, i) =>
                data.slice(4 * i, 4 * i + 4).join());
        }"""
    )
    return pixels


def _watch(item: Locator) -> Callable[[], dict[str, list[str]]]:
    """Note all texts that parts of an item come to show, each once, in their order."""
    item.evaluate(
        """item => {
            const seen = { status: [], amount: [], pace: [] };
            const look = () => {
                for (const [name, texts] of Object.entries(seen)) {
                    const text = item.querySelector(`[data-part=${name}]`).textContent;
                    if (!texts.includes(text)) texts.push(text);
                }
            };
            look();
            new MutationObserver(look).observe(item,
                { subtree: true, childList: true, characterData: true });
            window.seen = seen;
        }"""
    )
    return lambda: item.page.evaluate("window.seen")


def _tab_to(page: Page, target: Locator) -> None:
    for _ in range(150):  # the links of the dashboard and of the runs come before the form
        page.keyboard.press("Tab")
        if target.evaluate("node => node === document.activeElement"):
            return
    raise AssertionError("Tab does not lead there")


def _spoil(page: Page, *tokens: str) -> None:
    """Make tokens of the session such that no server takes them."""
    page.evaluate(
        """tokens => {
            const session = JSON.parse(sessionStorage.getItem("media-enricher.session"));
            for (const token of tokens) session[token] = "spoiled";
            sessionStorage.setItem("media-enricher.session", JSON.stringify(session));
        }""",
        list(tokens),
    )


def inspect(window: AdminPage, name: str) -> None:
    window.screenshot(name)
    overflow = window.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"{name} scrolls sideways by {overflow} pixels"
    window.page.evaluate(AXE.read_text())
    found = window.page.evaluate("axe.run()")
    violations = [
        f"{violation['id']}: {node['html']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
    assert violations == [], f"{name}: {json.dumps(violations, indent=2)}"
