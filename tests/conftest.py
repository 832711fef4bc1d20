"""What every test may ask for: a running stack, a fresh bucket in it, and its environment."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    import httpx

    from media_enricher.dev.environment import DevEnvironment
    from supabase_local import LocalStack

# Fixtures import what they need: a run of unit tests waits for none of it.
pytest_plugins = ["tests.needs", "tests.unit_guard", "tests.distribution"]

# A shell's background job ignores Ctrl-C, and with it would all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A process of `-n` has the size of some terminal in its environment, which commands would keep to.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# Each HTTP client reads all certificate authorities, which takes 20 ms, and tests make thousands of
# clients for servers that have no certificate. Nobody changes such a context, so one does for all.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """All that is imported stays: to look for garbage in it meanwhile is in vain."""
    gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    """Time no example of Hypothesis, and fetch images before several processes (`-n`) do."""
    from hypothesis import settings

    from tests.needs import UNIT

    settings.register_profile("untimed", settings.default, deadline=None)
    settings.load_profile("untimed")

    is_parallel = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if is_parallel and config.option.markexpr != UNIT:
        from tests.corpora import fetch

        fetch()


def pytest_collection_finish() -> None:
    """Let no collection of garbage look through all that was imported, again and again.

    What is garbage of it stays as well: to look for that once is as much as it would ever save.
    """
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A command that was asked to stop ignores signals from then on, and so would its children."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


SELDOM_ASKED = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
"""A worker's environment in which it looks for runs once a second, and not four times."""


class Put(Protocol):
    """Uploads an object with the service key, replacing what is there."""

    def __call__(
        self, bucket: str, path: str, data: bytes, content_type: str = ...
    ) -> httpx.Response: ...


@pytest.fixture(scope="session")
def stack(needs_stack: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A running stack with an empty `public` schema."""
    from supabase_local import LocalStack

    with LocalStack.start(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="session")
def migrated_stack(
    needs_stack: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalStack]:
    """Another one, with the migrations of `sql/` applied."""
    from media_enricher import migrations
    from supabase_local import LocalStack

    with LocalStack.start(tmp_path_factory.mktemp("migrated-stack")) as running:
        migrations.apply(running.database_url)
        _wait_for_the_schema(running)
        yield running


def _wait_for_the_schema(stack: LocalStack) -> None:
    """Wait until PostgREST has read the schema after the last migration.

    It may read it while migrations are applied, and then knows some functions and not others. One
    that is made after them tells; what PostgREST says of itself (OpenAPI) does not, for that comes
    from the database and not from what it has read.
    """
    import httpx

    from tests.waiting import wait_for

    key = stack.service_key

    def knows_it() -> bool:
        answer = httpx.get(
            f"{stack.url}/rest/v1/rpc/schema_is_read",
            headers={"apikey": key, "authorization": f"Bearer {key}"},
        )
        return answer.is_success

    asyncio.run(
        _execute(
            stack.database_url,
            "create function public.schema_is_read() returns boolean language sql stable"
            " return true",
            "notify pgrst, 'reload schema'",
        )
    )
    wait_for(knows_it, "PostgREST does not read the schema")
    asyncio.run(_execute(stack.database_url, "drop function public.schema_is_read"))


async def _execute(database_url: str, *statements: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(database_url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def prefect_database(
    needs_prefect: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of the database of the one Prefect server."""
    from tests.prefect_here import prefect_here

    with prefect_here(tmp_path_factory.mktemp("prefect")) as server:
        yield server.database_url


@pytest.fixture(scope="session")
def prefect_server(prefect_database: str) -> None:
    """One Prefect server for all tests, without a worker; never nested."""


@pytest.fixture(scope="session")
def site(
    needs_stack: None,
    needs_prefect: None,
    needs_images: None,
    needs_node: None,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[DevEnvironment]:
    """Everything that `media-enricher up` starts, with the demo's bucket filled.

    The Edge Function is in front of the gateway: what frontends ask for goes through it.

    In `dashboard-assets` are photographs of cameras and in each format, and broken files: some
    uploaded by ada, some by ben, the rest with the service key. None of them is enriched yet.
    """

    from media_enricher.demo.filling import allow_uploads, fill
    from media_enricher.demo.photographs import demo_photographs
    from media_enricher.dev.environment import DevEnvironment
    from supabase_local.ports import free_port
    from tests.corpora import CACHE, KEPT
    from tests.distribution import end_after_its_tests
    from tests.javascript import install_deno

    install_deno()
    photographs = demo_photographs(KEPT / "demo-photographs", cache=CACHE)
    chosen = {
        name: path
        for name, path in photographs.items()
        if name.startswith(("cameras/", "formats/", "broken/"))
    }

    def prepare(stack: LocalStack) -> None:
        asyncio.run(allow_uploads(stack.database_url))
        fill(stack, chosen)

    with pytest.MonkeyPatch.context() as environment:
        # Prefect looks once a minute which schedules were resumed; a test waits for that.
        environment.setenv("PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS", "3")
        started = DevEnvironment.start(
            tmp_path_factory.mktemp("site"),
            port=free_port(),  # the usual one may be that of a site in use
            settings={
                "MEDIA_ENRICHER_ACTIVE_RUNS": "100",  # of all the tests
                "MEDIA_ENRICHER_ENGINE_WORKERS": "1",
                **SELDOM_ASKED,
            },
            edge_function=True,
            prepare=prepare,
        )
    with ExitStack() as until_it_ends:
        running = until_it_ends.enter_context(started)
        end_after_its_tests(pytestconfig, "site", until_it_ends.close)
        yield running


@pytest.fixture(scope="session")
def site_stack(site: DevEnvironment) -> LocalStack:
    """The site's Supabase: `url` also leads to the gateway, under `/functions/v1`."""
    assert site.stack
    return site.stack


@pytest.fixture(scope="session")
def site_bucket(site_stack: LocalStack) -> Callable[..., str]:
    """Makes a bucket of the site with a photograph at each given path, and returns its name."""
    from media_enricher.demo.filling import settings_of
    from media_enricher.demo.photographs import demo_photographs
    from media_enricher.supabase.bucket import Bucket
    from media_enricher.supabase.client import connect
    from tests.corpora import CACHE, KEPT

    photographs = demo_photographs(KEPT / "demo-photographs", cache=CACHE)
    interiors = [path for name, path in photographs.items() if name.startswith("interiors/")]

    def make(*paths: str) -> str:
        bucket = Bucket(connect(settings_of(site_stack)), f"site-{uuid4().hex[:8]}")
        bucket.create_private()
        for path, photograph in zip(paths, itertools.cycle(interiors), strict=False):
            bucket.upload(path, photograph.read_bytes(), "image/jpeg")
        return bucket.name

    return make


@pytest.fixture
def used_stack(needs_stack: None, request: pytest.FixtureRequest) -> LocalStack:
    """The stack that the test asks for by name: `migrated_stack`, or else `stack`."""
    from supabase_local import LocalStack

    name = "migrated_stack" if "migrated_stack" in request.fixturenames else "stack"
    running = request.getfixturevalue(name)
    assert isinstance(running, LocalStack)
    return running


@pytest.fixture
def http(used_stack: LocalStack) -> Iterator[httpx.Client]:
    """A bare HTTP client of Storage, with the service key: `http.get("/object/…")`."""
    import httpx

    with httpx.Client(
        base_url=f"{used_stack.url}/storage/v1",
        headers={
            "apikey": used_stack.service_key,
            "authorization": f"Bearer {used_stack.service_key}",
        },
        timeout=30,
    ) as client:
        yield client


@pytest.fixture
def make_bucket(http: httpx.Client) -> Callable[[], str]:
    """Makes a private bucket with a name of its own, and returns the name."""
    numbers = itertools.count()

    def make() -> str:
        name = f"test-{uuid4().hex[:8]}-{next(numbers)}"
        http.post("/bucket", json={"name": name, "public": False}).raise_for_status()
        return name

    return make


@pytest.fixture
def put(http: httpx.Client) -> Put:
    """Uploads an object with the service key, replacing what is there."""

    def upload(
        bucket: str, path: str, data: bytes, content_type: str = "application/octet-stream"
    ) -> httpx.Response:
        answer = http.post(
            f"/object/{bucket}/{quote(path)}",
            content=data,
            headers={"content-type": content_type, "x-upsert": "true"},
        )
        assert answer.status_code == 200, answer.text
        return answer

    return upload


@pytest.fixture
def supabase_environment(
    used_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The process's environment points at the stack, and the settings are read anew."""
    environment = used_stack.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    _forget_settings()
    yield environment
    _forget_settings()


def _forget_settings() -> None:
    from media_enricher import settings

    for group in (
        settings.settings,
        settings.gateway_settings,
        settings.setup_settings,
        settings.supabase_settings,
        settings.database_settings,
    ):
        group.cache_clear()
