"""Prefect's own pages under `media-enricher up`: one signs in as told, and starts a run there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from media_enricher.dev.environment import DevEnvironment
from tests.browser.conftest import PHOTOGRAPHS, SCREENSHOTS, WIDE
from tests.waiting import wait_for

PREFIX = "broken/"
"""Few objects, and failures among them: a run over these has every kind of artifact."""


@pytest.fixture
def open_prefect(browser: Browser, slow_site: DevEnvironment) -> Iterator[Callable[..., Page]]:
    """Opens Prefect's pages in a window of its own, and signs in with what `up` prints."""
    pages: list[Page] = []

    def open_one(**options: Any) -> Page:
        page = browser.new_page(**{"viewport": WIDE} | options)
        pages.append(page)
        page.goto(slow_site.prefect_url)
        assert slow_site.auth_string
        page.get_by_placeholder("admin:pass").fill(slow_site.auth_string)
        page.get_by_role("button", name="Login").click()
        expect(page.get_by_role("button", name="Logout")).to_be_visible()
        return page

    yield open_one
    for page in pages:
        page.close()


def test_a_run_is_started_through_its_form_and_its_artifacts_are_seen(
    open_prefect: Callable[..., Page],
) -> None:
    page = open_prefect()
    page.get_by_role("link", name="Deployments").click()
    deployment = 'a[href*="/deployments/deployment/"]'
    page.locator(deployment).get_by_text("backfill", exact=True).click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    expect(page.get_by_text("The Storage bucket to process.")).to_be_visible()
    page.get_by_role("textbox", name="bucket").fill(PHOTOGRAPHS)
    page.get_by_role("textbox", name="prefix").fill(PREFIX)
    page.get_by_role("button", name="Select mode").click()
    page.get_by_role("option", name="all", exact=True).click()
    screenshot(page, "prefect-form")
    page.get_by_role("button", name="Submit").click()

    page.get_by_role("region", name="Notifications").get_by_text("View run").click()
    # The first is that of the run, or of a task before the run's: its last artifact tells its end.
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    artifacts = page.get_by_role("tabpanel", name="Artifacts")
    wait_for(lambda: _lists_artifact(page, "media-enricher-failures"), every=1)
    screenshot(page, "prefect-artifacts")
    run_page = page.url
    artifacts.get_by_role("link", name="media-enricher-summary").click()
    expect(artifacts).not_to_be_visible()  # it lists other artifacts, and is left only then
    page.locator('a[href*="/artifacts/artifact/"]').first.click()  # the latest of that name
    expect(page.get_by_role("listitem").filter(has_text="objects/s")).to_be_visible()
    screenshot(page, "prefect-summary")

    dark = open_prefect(color_scheme="dark")
    dark.goto(run_page)
    expect(dark.get_by_text("Completed", exact=True).first).to_be_visible()
    dark.get_by_role("tab", name="Artifacts").click()
    expect(dark.get_by_text("media-enricher-summary").last).to_be_visible()
    screenshot(dark, "prefect-artifacts-dark")


def _lists_artifact(page: Page, name: str) -> bool:
    """Whether a run's page lists an artifact. It asks for them once, so it is loaded again."""
    page.reload()
    page.get_by_role("tab", name="Artifacts").click()
    panel = page.get_by_role("tabpanel", name="Artifacts")
    with suppress(PlaywrightTimeoutError):  # not yet, or not in this list
        panel.get_by_text(name).first.wait_for(timeout=5_000)
    return panel.get_by_text(name).count() > 0


def screenshot(page: Page, name: str) -> None:
    """Keep what is seen, for someone to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")
