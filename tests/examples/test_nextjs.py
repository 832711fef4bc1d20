"""The Next.js example, built as its users build it, in a real browser against the whole site."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import asyncpg
import httpx
import pytest
from playwright.sync_api import (
    APIResponse,
    Browser,
    BrowserContext,
    Locator,
    Page,
    Route,
    StorageState,
    expect,
)

from supabase_local import LocalStack, User
from supabase_local.ports import HOST, free_port
from tests.chromium import headless_chromium
from tests.javascript import install, node_environment
from tests.waiting import PATIENCE_SECONDS, wait_until_it_answers

EXAMPLE = Path(__file__).parents[2] / "examples" / "nextjs"
WITH_USERS_TOKEN = "/"
THROUGH_SERVER = "/through-server"
APP_ROUTE = "/api/media-enricher/backfill"
PAGES_ROUTE = "/api/media-enricher/backfill-pages"
NEXTAUTH_ROUTE = "/api/media-enricher/backfill-nextauth"
ENRICHER = re.compile(r"/media-enricher/backfill\b")

expect.set_options(timeout=1_000 * PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def environment(needs_node: None, site_stack: LocalStack) -> dict[str, str]:
    """What the example's `.env.local` would hold."""
    return {
        **node_environment(),
        "NEXT_PUBLIC_SUPABASE_URL": site_stack.url,
        "NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY": site_stack.anon_key,
        "SUPABASE_SECRET_KEY": site_stack.service_key,
        "NEXTAUTH_SECRET": "a-secret-of-the-tests",
    }


@pytest.fixture(scope="module")
def example(environment: dict[str, str]) -> Iterator[str]:
    """The built example, running; its address."""
    install(EXAMPLE)
    built = subprocess.run(
        ["node_modules/.bin/next", "build"],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    with started(environment) as url:
        yield url


@contextmanager
def started(environment: Mapping[str, str]) -> Iterator[str]:
    """The built example, running with these settings; its address."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    server = subprocess.Popen(
        ["node", "node_modules/next/dist/bin/next", "start", "-H", HOST, "-p", str(port)],
        cwd=EXAMPLE,
        env={**environment, "NEXTAUTH_URL": url},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until_it_answers(url)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def browser(needs_browser: None, example: str) -> Iterator[Browser]:
    """A headless Chromium, which ends with this module."""
    with headless_chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def empty_bucket(site_bucket: Callable[..., str]) -> str:
    """A bucket whose runs have nothing to do."""
    return site_bucket()


class Visit:
    """Opens pages of the example, each in a browser context of its own, signed in as a user."""

    def __init__(self, browser: Browser, example: str) -> None:
        self._browser = browser
        self._example = example
        self._sessions: dict[str, StorageState] = {}
        self._contexts: list[BrowserContext] = []

    def __call__(self, path: str, user: User) -> Page:
        """A page, with the session of the user's last sign-in."""
        if user.email not in self._sessions:
            self.sign_in(user)
        context = self._context(self._sessions[user.email])
        page = context.new_page()
        page.goto(path)
        expect(page.get_by_text(f"Signed in as {user.email}")).to_be_visible()
        return page

    def sign_in(self, user: User) -> None:
        """Sign in through the form; a session has the metadata of its time in its token."""
        context = self._context(None)
        page = context.new_page()
        page.goto(WITH_USERS_TOKEN)
        page.get_by_label("Email").fill(user.email)
        page.get_by_label("Password").fill(user.password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text(f"Signed in as {user.email}")).to_be_visible()
        self._sessions[user.email] = context.storage_state()

    def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()

    def _context(self, session: StorageState | None) -> BrowserContext:
        context = self._browser.new_context(base_url=self._example, storage_state=session)
        self._contexts.append(context)
        return context


@pytest.fixture(scope="module")
def visits(browser: Browser, example: str) -> Visit:
    return Visit(browser, example)


@pytest.fixture
def visit(visits: Visit) -> Iterator[Visit]:
    """Opens pages of the example, and closes them after the test."""
    yield visits
    visits.close()


def query(stack: LocalStack, sql: str, *arguments: object) -> None:
    """Change something in the database, from a thread that has no browser's event loop."""

    async def execute() -> None:
        connection = await asyncpg.connect(stack.database_url)
        try:
            await connection.execute(sql, *arguments)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(execute())).result()


@contextmanager
def metadata(
    stack: LocalStack,
    user: User,
    column: Literal["raw_user_meta_data", "raw_app_meta_data"],
    **added: str,
) -> Iterator[None]:
    """Let Supabase Auth hold more metadata of a user for a while."""
    change = f"update auth.users set {column} = {column} || $2::jsonb where email = $1"
    undo = f"update auth.users set {column} = {column} - $2::text[] where email = $1"
    query(stack, change, user.email, json.dumps(added))
    try:
        yield
    finally:
        query(stack, undo, user.email, list(added))


def start(page: Page, bucket: str, prefix: str = "") -> None:
    page.get_by_label("Bucket").fill(bucket)
    page.get_by_label("Prefix").fill(prefix)
    page.get_by_role("button", name="Enrich now").click()


def run_of(page: Page) -> Locator:
    """The run that the toast links to."""
    link = page.get_by_role("link", name="See the run")
    expect(link).to_be_visible()
    return page.locator(link.get_attribute("href") or "")


def alert(page: Page) -> Locator:
    return page.locator("section").get_by_role("alert")


def post(page: Page, route: str, body: object) -> APIResponse:
    """Ask a route as the page does: with its cookies."""
    data = body if isinstance(body, bytes) else json.dumps(body)
    return page.request.post(route, data=data, headers={"content-type": "application/json"})


def started_run(page: Page, route: str, body: object) -> dict[str, Any]:
    """The run that a route starts; asked again after a 503, as a client should."""
    for _ in range(5):
        answer = post(page, route, body)
        if answer.status != 503:
            break
        time.sleep(int(answer.headers["retry-after"]))
    assert answer.status == 202, answer.text()
    run: dict[str, Any] = answer.json()
    return run


def pass_time(page: Page, seconds: int) -> None:
    """Let timers of the page believe that time passes; answers come in between."""
    for _ in range(seconds):
        page.clock.run_for(1_000)
        page.wait_for_timeout(50)


# The component


@pytest.mark.parametrize("path", [WITH_USERS_TOKEN, THROUGH_SERVER])
def test_an_admin_starts_a_backfill_and_sees_it_completed(
    site_stack: LocalStack, site_bucket: Callable[..., str], visit: Visit, path: str
) -> None:
    bucket = site_bucket("a.jpg", "b.jpg", "images/c.jpg", "images/d.jpg")
    page = visit(path, site_stack.users.admin)

    start(page, bucket)

    run = run_of(page)
    expect(page.get_by_role("status")).to_contain_text("The backfill was started.")
    expect(run).to_contain_text("completed")
    expect(run).to_contain_text("4 of 4 processed, 4 enriched, 0 failed")


@pytest.mark.parametrize("path", [WITH_USERS_TOKEN, THROUGH_SERVER])
def test_a_user_who_is_no_admin_is_told_so(site_stack: LocalStack, visit: Visit, path: str) -> None:
    page = visit(path, site_stack.users.ada)
    start(page, "dashboard-assets")
    expect(alert(page)).to_contain_text("users whose app_metadata has user_role")


@pytest.mark.parametrize("path", [WITH_USERS_TOKEN, THROUGH_SERVER])
def test_the_enrichers_own_sentence_is_shown(
    site_stack: LocalStack, visit: Visit, path: str
) -> None:
    page = visit(path, site_stack.users.admin)
    start(page, "no-such-bucket")
    expect(alert(page)).to_contain_text("no-such-bucket")


def test_progress_is_drawn_while_a_run_is_under_way(site_stack: LocalStack, visit: Visit) -> None:
    page = visit(WITH_USERS_TOKEN, site_stack.users.admin)
    run = {
        "id": "6f1d3c52-8d0e-4f7c-9b61-3f0a2c7d9e10",
        "started_at": "2026-11-23T09:00:00+00:00",
        "status": "running",
        "total_files": 200,
        "processed_files": 50,
        "succeeded": 48,
        "failed": 2,
    }
    page.route("**/rest/v1/media_enrich_runs?*", lambda route: route.fulfill(json=[run]))
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("value", "50")
    expect(bar).to_have_attribute("max", "200")
    expect(page.get_by_text("2 failed")).to_be_visible()


class Faults:
    """Answers of the enricher that a test makes up; what is asked after them gets through."""

    def __init__(self, page: Page, *answers: tuple[int, dict[str, str]]) -> None:
        self._answers = list(answers)
        self.keys: list[str | None] = []
        page.route(ENRICHER, self._answer)

    def _answer(self, route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        self.keys.append(route.request.headers.get("idempotency-key"))
        if not self._answers:
            route.continue_()
            return
        status, headers = self._answers.pop(0)
        if status == 0:
            route.abort()
            return
        origin = {"access-control-allow-origin": "*", "access-control-expose-headers": "*"}
        body = {"error": f"A made-up {status}.", "code": "made_up"}
        route.fulfill(status=status, headers={**headers, **origin}, json=body)


def test_lost_and_5xx_answers_are_tried_again_with_the_same_key(
    site_stack: LocalStack, empty_bucket: str, visit: Visit
) -> None:
    page = visit(THROUGH_SERVER, site_stack.users.admin)
    faults = Faults(page, (0, {}), (502, {}))

    start(page, empty_bucket)

    expect(page.get_by_text("cannot be reached")).to_be_visible()
    expect(page.get_by_text("A made-up 502. The next try is in")).to_be_visible()
    run_of(page)
    assert len(faults.keys) == 3
    assert faults.keys[0]
    assert set(faults.keys) == {faults.keys[0]}


def test_a_429_is_tried_again_after_the_time_that_it_names(
    site_stack: LocalStack, empty_bucket: str, visit: Visit
) -> None:
    page = visit(WITH_USERS_TOKEN, site_stack.users.admin)
    page.clock.install()
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=1))
    faults = Faults(page, (429, {"retry-after": "3"}))

    start(page, empty_bucket)

    expect(page.get_by_text("A made-up 429. The next try is in 3 s.")).to_be_visible()
    pass_time(page, 2)
    assert len(faults.keys) == 1
    pass_time(page, 1)
    run_of(page)
    assert len(faults.keys) == 2


def test_other_4xx_answers_are_not_tried_again(site_stack: LocalStack, visit: Visit) -> None:
    page = visit(WITH_USERS_TOKEN, site_stack.users.admin)
    page.clock.install()
    faults = Faults(page, (409, {}))

    start(page, "dashboard-assets")

    expect(alert(page)).to_have_text("A made-up 409.")
    pass_time(page, 10)
    assert len(faults.keys) == 1


class Polls:
    """Answers the page's polls, and counts them."""

    def __init__(self, page: Page, status: int = 200) -> None:
        self.count = 0
        self._status = status
        page.route("**/rest/v1/media_enrich_runs?*", self._answer)

    def _answer(self, route: Route) -> None:
        self.count += 1
        route.fulfill(status=self._status, json=[] if self._status == 200 else {"message": "no"})


def polled(visit: Visit, user: User, status: int = 200) -> tuple[Page, Polls]:
    """A page whose time and polls are the test's."""
    page = visit(WITH_USERS_TOKEN, user)
    polls = Polls(page, status)
    page.clock.install()
    page.reload()
    expect(page.get_by_text(f"Signed in as {user.email}")).to_be_visible()
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=1))
    return page, polls


def test_polling_stops_in_a_hidden_tab_and_goes_on_when_it_is_looked_at(
    site_stack: LocalStack, visit: Visit
) -> None:
    page, polls = polled(visit, site_stack.users.admin)
    pass_time(page, 9)
    assert polls.count in {3, 4}  # every 3 s
    turn = """hidden => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })
      document.dispatchEvent(new Event('visibilitychange'))
    }"""

    page.evaluate(turn, True)
    seen = polls.count
    pass_time(page, 9)
    assert polls.count == seen

    page.evaluate(turn, False)
    pass_time(page, 1)
    assert polls.count == seen + 1


def test_polling_slows_down_while_it_fails(site_stack: LocalStack, visit: Visit) -> None:
    page, polls = polled(visit, site_stack.users.admin, 503)
    pass_time(page, 16)
    assert polls.count == 2  # the second after 6 s, the third after 12 more
    expect(page.get_by_text("cannot be read just now")).to_be_visible()


def test_polling_ends_where_it_is_refused(site_stack: LocalStack, visit: Visit) -> None:
    page, polls = polled(visit, site_stack.users.admin, 403)
    pass_time(page, 16)
    assert polls.count == 1
    expect(page.get_by_text("The runs cannot be read: no")).to_be_visible()


# The server routes


@pytest.mark.parametrize("route", [APP_ROUTE, PAGES_ROUTE, NEXTAUTH_ROUTE])
def test_a_route_refuses_whoever_is_not_signed_in(example: str, route: str) -> None:
    answer = httpx.post(f"{example}{route}", json={"bucket": "dashboard-assets"})
    assert (answer.status_code, answer.json()["code"]) == (401, "no_session")


@pytest.mark.parametrize("route", [APP_ROUTE, PAGES_ROUTE])
def test_user_metadata_makes_nobody_an_admin(
    site_stack: LocalStack, visit: Visit, route: str
) -> None:
    ben = site_stack.users.ben
    with metadata(site_stack, ben, "raw_user_meta_data", user_role="admin", role="admin"):
        visit.sign_in(ben)
        answer = post(visit(THROUGH_SERVER, ben), route, {"bucket": "dashboard-assets"})
    assert (answer.status, answer.json()["code"]) == (403, "not_admin")


def test_a_role_that_was_taken_away_counts_no_more(site_stack: LocalStack, visit: Visit) -> None:
    ben = site_stack.users.ben
    mine = {"bucket": "dashboard-assets", "prefix": f"{ben.tenant_id}/none/"}
    with metadata(site_stack, ben, "raw_app_meta_data", user_role="admin"):
        page = visit(THROUGH_SERVER, ben)
        started_run(page, APP_ROUTE, mine)
    assert post(page, APP_ROUTE, mine).status == 403


@pytest.mark.parametrize("route", [APP_ROUTE, PAGES_ROUTE])
def test_a_tenants_admin_is_kept_in_the_tenants_folder(
    site_stack: LocalStack, visit: Visit, route: str
) -> None:
    ada, ben = site_stack.users.ada, site_stack.users.ben
    with metadata(site_stack, ada, "raw_app_meta_data", user_role="admin"):
        page = visit(THROUGH_SERVER, ada)
        for prefix in (None, "", "images/", str(ada.tenant_id), f"{ben.tenant_id}/"):
            body = {"bucket": "dashboard-assets"} | ({} if prefix is None else {"prefix": prefix})
            answer = post(page, route, body)
            assert (answer.status, answer.json()["code"]) == (403, "outside_tenant")
            assert f"{ada.tenant_id}/" in answer.json()["error"]


BAD_INPUTS: list[tuple[object, int, str]] = [
    (b"{", 400, ""),
    ({}, 422, "bucket is missing, and must be a text."),
    ([], 422, 'body is [], and must be a JSON object, as {"bucket": "dashboard-assets"}.'),
    ({"bucket": ""}, 422, 'bucket is "", and must be the name of a bucket.'),
    ({"bucket": "b\n"}, 422, "must be a text without control characters"),
    ({"bucket": "b", "prefix": "p" * 1025}, 422, "must be a text of at most 1,024 characters"),
    ({"bucket": "b", "limit": 0}, 422, "limit is 0, and must be a whole number from 1"),
    ({"bucket": "b", "limit": "5"}, 422, 'limit is "5", and must be a whole number from 1'),
    ({"bucket": "b", "limit": 1.5}, 422, "limit is 1.5, and must be a whole number from 1"),
    ({"bucket": "b", "url": "http://x"}, 422, "there is no such field"),
]


@pytest.mark.parametrize("route", [APP_ROUTE, PAGES_ROUTE])
def test_a_route_says_what_is_wrong_with_its_input(
    site_stack: LocalStack, visit: Visit, route: str
) -> None:
    page = visit(THROUGH_SERVER, site_stack.users.admin)
    for body, status, sentence in BAD_INPUTS:
        answer = post(page, route, body)
        assert (answer.status, sentence in answer.text().replace('\\"', '"')) == (status, True)


@pytest.mark.parametrize("route", [APP_ROUTE, PAGES_ROUTE])
def test_a_route_passes_on_what_the_enricher_answers(
    site_stack: LocalStack, empty_bucket: str, visit: Visit, route: str
) -> None:
    page = visit(THROUGH_SERVER, site_stack.users.admin)
    unknown = post(page, route, {"bucket": "no-such-bucket"})
    assert (unknown.status, unknown.json()["code"]) == (404, "unknown_bucket")

    wanted = {"bucket": empty_bucket, "prefix": f"{route}/", "limit": 5}
    run = started_run(page, route, wanted)
    assert {name: run[name] for name in wanted} == wanted


def test_a_route_says_when_to_try_again_if_the_enricher_is_away(
    site_stack: LocalStack, environment: dict[str, str], visit: Visit
) -> None:
    page = visit(THROUGH_SERVER, site_stack.users.admin)
    nowhere = f"http://{HOST}:{free_port()}"
    with started({**environment, "MEDIA_ENRICHER_URL": nowhere}) as url:
        for route in (APP_ROUTE, PAGES_ROUTE):
            answer = post(page, f"{url}{route}", {"bucket": "dashboard-assets"})
            assert (answer.status, answer.json()["code"]) == (503, "unavailable")
            assert answer.headers["retry-after"] == str(answer.json()["retry_after"])


def test_nextauths_token_says_who_is_an_admin(
    site_stack: LocalStack, empty_bucket: str, example: str
) -> None:
    body = {"bucket": empty_bucket}
    with signed_in_by_nextauth(example, site_stack.users.admin) as http:
        assert "app" not in http.get("/api/auth/session").text  # metadata stays on the server
        let_through = {200, 202, 503}  # 200: it is under way already; 503: this machine is busy
        assert http.post(NEXTAUTH_ROUTE, json=body).status_code in let_through
    with signed_in_by_nextauth(example, site_stack.users.ada) as http:
        assert http.post(NEXTAUTH_ROUTE, json=body).status_code == 403


@contextmanager
def signed_in_by_nextauth(example: str, user: User) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=example, timeout=30) as http:
        token = http.get("/api/auth/csrf").json()["csrfToken"]
        form = {"csrfToken": token, "email": user.email, "password": user.password, "json": "true"}
        http.post("/api/auth/callback/credentials", data=form).raise_for_status()
        yield http


def test_no_secret_and_no_name_of_one_is_in_what_browsers_load(
    example: str, site_stack: LocalStack
) -> None:
    files = [path for path in (EXAMPLE / ".next" / "static").rglob("*") if path.is_file()]
    bundle = "".join(path.read_text(errors="replace") for path in files)
    assert site_stack.anon_key in bundle
    secrets = (site_stack.service_key, site_stack.service_role_jwt, "a-secret-of-the-tests")
    names = ("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY", "NEXTAUTH_SECRET")
    assert not [text for text in (*secrets, *names) if text in bundle]
