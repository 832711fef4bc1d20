"""One site for all browser tests, photographs in it, and pages of a real Chromium."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Response,
    ViewportSize,
    expect,
)

from media_enricher.demo.photographs import demo_photographs
from media_enricher.dev.environment import DevEnvironment
from supabase_local import LocalStack, User
from supabase_local.ports import free_port
from tests.chromium import headless_chromium
from tests.conftest import SELDOM_ASKED
from tests.corpora import CACHE, KEPT
from tests.flows.conftest import SLOWLY, photo
from tests.waiting import PATIENCE_SECONDS

SCREENSHOTS = Path(os.environ.get("ARTIFACTS") or KEPT / "artifacts" / "browser")
PHOTOGRAPHS = "dashboard-assets"
MANY = "many-small-ones"
MANY_OBJECTS = 1_500
"""Small pictures, of which one after the other is read: progress is seen before the end."""
CHOSEN = (
    "cameras/",
    "formats/",
    "interiors/pexels-7",
    "recordings/",
    "broken/empty",
    "broken/upload",
)
WIDE: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 360, "height": 780}

expect.set_options(timeout=1_000 * PATIENCE_SECONDS)


@pytest.fixture(scope="package")
def slow_site(
    needs_stack: None,
    needs_prefect: None,
    needs_images: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[DevEnvironment]:
    """Everything that `media-enricher up` starts, in which a run of `MANY` takes a while."""
    with DevEnvironment.start(
        tmp_path_factory.mktemp("slow-site"),
        port=free_port(),  # the usual one may be that of a site in use
        settings=SLOWLY | SELDOM_ASKED,
        prepare=_fill,
    ) as running:
        yield running


def _fill(stack: LocalStack) -> None:
    """Photographs, two of them broken; many small pictures; and ben made his tenant's admin."""
    uploads = [
        (PHOTOGRAPHS, name, file.read_bytes())
        for name, file in demo_photographs(KEPT / "demo-photographs", cache=CACHE).items()
        if name.startswith(CHOSEN)
    ]
    small = [photo(seed) for seed in range(50)]
    uploads += [
        (MANY, f"photos/{number:05}.jpg", small[number % len(small)])
        for number in range(MANY_OBJECTS)
    ]
    uploads += [(PHOTOGRAPHS, f"{stack.users.ben.tenant_id}/portrait.jpg", photo(1))]
    authorization = {"authorization": f"Bearer {stack.service_key}"}
    with (
        httpx.Client(
            base_url=f"{stack.url}/storage/v1", headers=authorization, timeout=60
        ) as storage,
        ThreadPoolExecutor(4) as pool,
    ):
        for name in (PHOTOGRAPHS, MANY):
            storage.post("/bucket", json={"name": name, "public": False}).raise_for_status()
        list(pool.map(lambda upload: _upload(storage, *upload), uploads))
    asyncio.run(_make_admin(stack, stack.users.ben))


def _upload(storage: httpx.Client, bucket: str, name: str, data: bytes) -> None:
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    storage.post(
        f"/object/{bucket}/{quote(name)}", content=data, headers={"content-type": content_type}
    ).raise_for_status()


async def _make_admin(stack: LocalStack, user: User) -> None:
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute(
            "update auth.users set raw_app_meta_data = raw_app_meta_data"
            """ || '{"user_role": "admin"}' where id = $1::uuid""",
            user.id,
        )
    finally:
        await connection.close()


@pytest.fixture(scope="package")
def stack_of_site(slow_site: DevEnvironment) -> LocalStack:
    """The site's Supabase."""
    assert slow_site.stack
    return slow_site.stack


@pytest.fixture(scope="package")
def browser(needs_browser: None, slow_site: DevEnvironment) -> Iterator[Browser]:
    """A headless Chromium, which ends with this package."""
    with headless_chromium() as launched:
        yield launched


class AdminPage:
    """The admin page in a window of its own, and what its console complained of."""

    def __init__(self, page: Page, url: str, stack: LocalStack) -> None:
        self.page = page
        self.url = url
        self.stack = stack
        self.complaints: list[str] = []
        self.refusals: set[int] = set()
        """Statuses that this test provokes: the browser logs each answer of 400 or more.

        503 always may come: a machine under load answers too late, and the page asks again.
        """
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        is_expected = any(
            f"status of {status} " in message.text for status in {503, *self.refusals}
        )
        if not is_expected:
            self.complaints.append(message.text)

    def open(self, fragment: str = "") -> None:
        """Load the page anew."""
        self.page.goto("about:blank")
        self.page.goto(self.url + fragment)

    def sign_in(self, user: User, password: str | None = None) -> None:
        """Fill in the form and send it; what comes of it is for the test to look at."""
        self.page.get_by_label("E-mail").fill(user.email)
        self.page.get_by_label("Password").fill(password or user.password)
        self.page.get_by_role("button", name="Sign in").click()

    def open_as_admin(self, fragment: str = "") -> None:
        """Open the page and sign in as the stack's admin."""
        self.open(fragment)
        self.sign_in(self.stack.users.admin)
        expect(self.page.get_by_role("heading", name="Start a run")).to_be_visible()

    def ask_for(self, bucket: str, prefix: str = "", mode: str = "missing") -> None:
        """Fill in what a run is to do."""
        self.page.get_by_label("Bucket").fill(bucket)
        self.page.get_by_label("Prefix").fill(prefix)
        self.page.get_by_label("Objects").select_option(mode)

    def start(self) -> str:
        """Press Start, and wait until the run is shown; returns its id."""
        with self.page.expect_response(_is_accepted_start) as answer:
            self.page.get_by_role("button", name="Start run").click()
        run_id: str = answer.value.json()["run_id"]
        expect(self.page).to_have_url(f"{self.url}#/runs/{run_id}")
        return run_id

    def look_again(self) -> None:
        """Let the page poll now, as it does whenever its tab is shown again."""
        self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    @property
    def run(self) -> Any:
        """The part of the page that shows one run in full."""
        return self.page.locator("#run")

    def expect_status(self, status: str | re.Pattern[str]) -> None:
        """The chosen run comes to a status, while one watches."""
        expect(self.run.locator("[data-part=status]")).to_have_text(status)

    def table(self, name: str, query: str) -> list[dict[str, Any]]:
        """Rows of a table, as the database has them."""
        answer = httpx.get(
            f"{self.stack.url}/rest/v1/{name}?{query}",
            headers={
                "apikey": self.stack.service_key,
                "authorization": f"Bearer {self.stack.service_key}",
            },
        )
        rows: list[dict[str, Any]] = answer.raise_for_status().json()
        return rows

    def screenshot(self, name: str) -> None:
        """Keep what is seen, for someone to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")


def _is_accepted_start(answer: Response) -> bool:
    """Whether it is the answer to a start, and no refusal; the form may count first."""
    request = answer.request
    is_start = "/backfill" in request.url and "dry_run" not in (request.post_data or "")
    return is_start and answer.ok


OpenWindow = Callable[..., AdminPage]


@pytest.fixture
def open_window(
    browser: Browser, slow_site: DevEnvironment, stack_of_site: LocalStack
) -> Iterator[OpenWindow]:
    """Opens windows on the admin page, each with a session of its own.

    A complaint in the console of any of them (an error, a breach of the Content-Security-Policy)
    fails the test.
    """
    windows: list[AdminPage] = []

    def open_one(*, base: str = slow_site.gateway_url, **options: Any) -> AdminPage:
        context = browser.new_context(**{"viewport": WIDE, "color_scheme": "light"} | options)
        url = f"{base}/media-enricher/admin"
        windows.append(AdminPage(context.new_page(), url, stack_of_site))
        return windows[-1]

    yield open_one
    for window in windows:
        window.page.context.close()
    assert [complaint for window in windows for complaint in window.complaints] == []


@pytest.fixture
def admin_page(open_window: OpenWindow) -> AdminPage:
    """The admin page in a wide window, not opened yet."""
    return open_window()
