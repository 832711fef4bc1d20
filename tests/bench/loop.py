"""(b) The same probe driven by a bare asyncio loop, nothing written: what no pipeline can beat.

One process a core, each with aiohttp on uvloop and the objects dealt out beforehand. Small files
are probed where they were read and large ones in a thread, as that proved fastest. There is no
plan, no batch, no retry, no memory limit, no database, no snapshot and no Prefect.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import aiohttp
import uvloop
from yarl import URL

from media_enricher.models import Depth, Findings, StorageObject
from media_enricher.probe import (
    ProbeOptions,
    first_range,
    probe_full,
    probe_header,
)
from media_enricher.probe.parts import Parts
from media_enricher.probe.source import ByteRange
from media_enricher.settings import DEFAULT_EXIF_TAGS
from media_enricher.supabase.urls import object_url
from tests.bench.job import Done, Job, main

OPTIONS = ProbeOptions(max_pixels=100_000_000, location=False, exif_tags=DEFAULT_EXIF_TAGS)
IN_A_THREAD_BYTES = 128 * 1024


def contend(job: Job) -> Done:
    """Deal the objects out to the processes and wait for the last of them."""
    with ProcessPoolExecutor(job.processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_ready, range(job.processes)))
        first_request = time.time()
        described = sum(pool.map(_work, [job] * job.processes, range(job.processes)))
        last_result = time.time()
    return Done(
        objects=len(job.objects),
        described=described,
        first_request=first_request,
        last_result=last_result,
    )


def _ready(_number: int) -> None:
    time.sleep(0.2)  # long enough for each process to get one


def _work(job: Job, number: int) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_read_all(job, job.objects[number :: job.processes]))


async def _read_all(job: Job, objects: list[StorageObject]) -> int:
    described = 0
    left = iter(objects)
    headers = {"Authorization": f"Bearer {job.service_key}", "apikey": job.service_key}
    decoder = ThreadPoolExecutor(1)

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal described
        for each in left:
            url = URL(object_url(job.supabase_url, each.bucket, each.path), encoded=True)
            read = _header if job.depth is Depth.HEADER else _full
            findings = await read(session, url, each, decoder)
            described += bool(findings.width and findings.height)

    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(headers=headers, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(job.downloads // job.processes):
            group.create_task(worker(session))
    return described


async def _full(
    session: aiohttp.ClientSession, url: URL, each: StorageObject, decoder: ThreadPoolExecutor
) -> Findings:
    data = await _get(session, url)

    def probe() -> Findings:
        findings = probe_full(
            data,
            path=each.path,
            declared_content_type=each.declared_content_type,
            options=OPTIONS,
        )
        assert isinstance(findings, Findings)  # it has all bytes
        return findings

    if len(data) < IN_A_THREAD_BYTES:
        return probe()
    return await asyncio.get_running_loop().run_in_executor(decoder, probe)


async def _header(
    session: aiohttp.ClientSession, url: URL, each: StorageObject, _decoder: ThreadPoolExecutor
) -> Findings:
    size = each.size_bytes or 0
    first = min(first_range(each.path, each.declared_content_type), size)
    parts = Parts(await _get(session, url, ByteRange(0, first)))
    while True:
        findings = probe_header(
            parts.first,
            size_bytes=size,
            path=each.path,
            declared_content_type=each.declared_content_type,
            options=OPTIONS,
            rest=parts.rest,
        )
        if isinstance(findings, Findings):
            return findings
        for missing in parts.missing(findings.ranges):
            parts.add(missing.start, await _get(session, url, missing))


async def _get(session: aiohttp.ClientSession, url: URL, part: ByteRange | None = None) -> bytes:
    headers = {"Range": f"bytes={part.start}-{part.stop - 1}"} if part and part.stop else None
    async with session.get(url, headers=headers) as answer:
        answer.raise_for_status()
        return await answer.read()


if __name__ == "__main__":
    main(contend)
