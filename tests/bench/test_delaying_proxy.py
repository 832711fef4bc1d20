"""The proxy delays without limiting, limits where it is told to, and counts downloads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.bench.delaying_proxy import Cable, Distance, Doorman, Passed, delayed
from tests.bench.round_trips import kind, logged, one_after_the_other


def test_what_is_sent_together_arrives_together_half_a_round_trip_later() -> None:
    cable = Cable(Distance(rtt_seconds=0.2))
    assert [cable.due(5.0, 1_000_000) for _ in range(3)] == [5.1, 5.1, 5.1]


def test_a_limited_bandwidth_is_shared_and_free_again_later() -> None:
    cable = Cable(Distance(rtt_seconds=0.2, bytes_per_second=1000))
    assert [cable.due(5.0, 500), cable.due(5.0, 500)] == pytest.approx([5.6, 6.1])
    assert cable.due(9.0, 100) == pytest.approx(9.2)


def test_a_connection_is_set_up_by_tcp_and_tls() -> None:
    assert Distance(rtt_seconds=0.1).set_up_seconds == pytest.approx(0.2)
    assert Distance(rtt_seconds=0.1, tls_round_trips=0).set_up_seconds == pytest.approx(0.1)


def test_one_too_many_is_refused_and_not_counted() -> None:
    doorman = Doorman(2)
    assert [doorman.lets_in() for _ in range(3)] == [True, True, False]
    doorman.at_once -= 1
    assert doorman.lets_in()


@pytest.mark.usefixtures("needs_processes")
def test_downloads_above_the_most_are_refused_and_all_else_goes_through() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("held"):
            is_held.set()
            await release.wait()
        return web.Response(body=await request.read() + request.path.encode())

    async def run() -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        distance = Distance(rtt_seconds=0.002, most_downloads=1)
        with delayed(f"http://127.0.0.1:{port}", distance) as url:
            route = f"{url}/storage/v1/object/authenticated"
            async with aiohttp.ClientSession() as session:
                held = asyncio.create_task(session.get(f"{route}/held"))
                await is_held.wait()
                refused = [(await session.get(f"{route}/other")).status for _ in range(2)]
                assert sorted(refused) == [429, 544]
                posted = await session.post(f"{url}/rest/v1/rpc/x", data=b"asked ")
                assert await posted.text() == "asked /rest/v1/rpc/x"
                release.set()
                assert (await (await held).text()).endswith("/held")
                again = await session.get(f"{route}/other")
                assert again.status == 200
                await again.read()
        await runner.cleanup()

    is_held, release = asyncio.Event(), asyncio.Event()
    asyncio.run(run())


@pytest.mark.usefixtures("needs_processes")
def test_requests_are_written_down_as_their_client_saw_them(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read(), status=201)

    async def run() -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        distance = Distance(rtt_seconds=0.05, log=str(log))
        with delayed(f"http://127.0.0.1:{runner.addresses[0][1]}", distance) as url:
            async with aiohttp.ClientSession() as session:
                for _ in range(2):  # over one connection
                    await session.post(f"{url}/rest/v1/rpc/asked?x=1", data=b"x" * 200_000)
                await session.head(f"{url}/storage/v1/object/authenticated/photos/1.jpg")
                await session.get(f"{url}/storage/v1/object/authenticated/photos/2.jpg")
                await session.post(f"{url}/storage/v1/object/photos/2.jpg", data=b"x")
        await runner.cleanup()

    log = tmp_path / "log"
    asyncio.run(run())
    requests = logged(log)
    assert [kind(each) for each in requests.start] == ["asked", "asked"]
    assert [each.method for each in requests.reading] == ["HEAD", "GET"]
    assert [kind(each) for each in requests.end] == ["POST object"]
    assert {each.status for part in requests for each in part} == {201}
    # The clock counts milliseconds, whose differences are no round numbers.
    took = [each.ended - each.began for part in requests for each in part]
    assert min(took) >= 0.05 - 1e-6


def test_what_is_under_way_together_is_waited_for_once() -> None:
    def passed(began: float, ended: float) -> Passed:
        return Passed(method="GET", path=f"/{began}", status=200, began=began, ended=ended)

    first, beside, second, third = passed(0, 2), passed(1, 4), passed(2, 5), passed(6, 7)
    assert one_after_the_other([first, beside, second, third]) == [first, second, third]
