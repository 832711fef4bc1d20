"""`make bench-repair`: repair the types of 2,000 objects of all kinds, killed twice on the way.

Each object has an owner or none, metadata of its user and a cache control. At the end each is
served as what it is, if browsers run nothing of it, and all else is byte for byte as before.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import asyncpg
import httpx
import pyarrow.parquet as pq

from flows.backfill import backfill
from flows.repair_types import repair_types
from media_enricher import migrations
from media_enricher.orchestration import resources
from media_enricher.settings import settings
from supabase_local import LocalStack
from tests.prefect_here import prefect_environment, prefect_here
from tests.probe.documents import book, package, pdf, word
from tests.probe.recordings import recording
from tests.probe.samples import photograph, saved

BUCKET = "bench-repair"
GENERIC = "application/octet-stream"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
LARGE_BYTES = 17 * 1024 * 1024
"""More than one part of an upload, so its ETag becomes another."""


class Kind(NamedTuple):
    """A kind of objects: its bytes, what it is served as at the end, and what it was uploaded as.

    `served` None: as it was uploaded.
    """

    name: str
    data: bytes
    served: str | None
    declared: tuple[str, ...]


def kinds() -> list[Kind]:
    """All of them, the active ones too."""
    wrong = (GENERIC, "text/plain", "image/x-icon", "text/html", "undefined")
    inert = [
        ("jpg", saved(photograph(), "JPEG"), "image/jpeg"),
        ("png", saved(photograph(), "PNG"), "image/png"),
        ("webp", saved(photograph(), "WEBP"), "image/webp"),
        ("gif", saved(photograph(), "GIF"), "image/gif"),
        ("bmp", saved(photograph(), "BMP"), "image/bmp"),
        ("avif", saved(photograph(), "AVIF"), "image/avif"),
        ("jp2", saved(photograph(), "JPEG2000"), "image/jp2"),
        ("mp4", recording("mp4", "mpeg4", "aac"), "video/mp4"),
        ("webm", recording("webm", "libvpx-vp9"), "video/webm"),
        ("mp3", recording("mp3", sound="libmp3lame"), "audio/mpeg"),
        ("flac", recording("flac", sound="flac"), "audio/flac"),
        ("wav", recording("wav", sound="pcm_s16le"), "audio/wav"),
        ("pdf", pdf(pages=2), "application/pdf"),
        ("docx", word(), WORD),
        ("epub", book(), "application/epub+zip"),
    ]
    vague = (GENERIC, "image/png", "undefined")
    text = b"Nothing but words, in several lines.\n" * 20
    coarse = [
        ("txt", text, "text/plain"),
        ("json", b'{"a": [1, 2, 3]}', "application/json"),
        ("zip", package({"a.txt": text}), "application/zip"),
        ("gz", gzip.compress(text), "application/gzip"),
    ]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script/></svg>'
    run = [
        ("svg", svg),
        ("html", b"<!doctype html><html><script>alert(1)</script></html>"),
        ("xml", b"<?xml version='1.0'?><a/>"),
        ("js", b"alert(document.cookie);\n" * 9),
        ("wasm", b"\0asm\1\0\0\0"),
        ("elf", b"\x7fELF" + bytes(200)),
    ]
    return [
        *(Kind(name, data, served, wrong) for name, data, served in inert),
        *(Kind(name, data, served, vague) for name, data, served in coarse),
        *(Kind(name, data, None, ("image/png", GENERIC)) for name, data in run if name != "js"),
        Kind("svg-in-html", svg, "image/svg+xml", ("text/html",)),
        Kind("js", run[3][1], None, ("text/javascript", "text/plain")),
        Kind("right", saved(photograph(), "PNG"), None, ("image/png",)),
        Kind("finer", text, None, ("text/csv",)),
    ]


class Bench:
    """The bucket, and what Storage and the database say of it."""

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self._stack = stack
        self._snapshots = folder
        self.expected: dict[str, str] = {}
        key = stack.service_key
        self._http = httpx.Client(
            base_url=f"{stack.url}/storage/v1",
            headers={"apikey": key, "authorization": f"Bearer {key}"},
            timeout=120,
        )

    def query(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        async def ask() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self._stack.database_url)
            try:
                return [dict(row) for row in await connection.fetch(sql, *arguments)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def fill(self, objects: int) -> None:
        """Upload so many objects of all kinds, and give two thirds of them owners."""
        resources.bucket(BUCKET).create_private()
        known = kinds()
        for number, kind in zip(range(objects), itertools.cycle(known), strict=False):
            declared = kind.declared[number // len(known) % len(kind.declared)]
            path = f"{kind.name}/{number:05} a+b.{kind.name}"
            self._upload(path, kind.data, declared, number)
            self.expected[path] = kind.served or declared
        large = recording("wav", sound="pcm_s16le", seconds=LARGE_BYTES / 88_200 + 1)
        for number in range(3):
            self._upload(f"large/{number}.wav", large, GENERIC, number)
            self.expected[f"large/{number}.wav"] = "audio/wav"
        ada, ben = self._stack.users.ada.id, self._stack.users.ben.id
        for owner, rest in ((ada, 0), (ben, 1)):
            self.query(
                "update storage.objects set owner_id = $2, owner = $2::text::uuid"
                " where bucket_id = $1 and (user_metadata ->> 'number')::int % 3 = $3",
                *(BUCKET, owner, rest),
            )

    def _upload(self, path: str, data: bytes, declared: str, number: int) -> None:
        own = json.dumps({"number": number, "name": f"Été {number}"}).encode()
        self._http.post(
            f"/object/{BUCKET}/{quote(path)}",
            content=data,
            headers={
                "content-type": declared,
                "cache-control": f"max-age={number}",
                "x-metadata": base64.b64encode(own).decode(),
            },
        ).raise_for_status()

    def state(self) -> dict[str, Any]:
        """All that is to stay, by path, and how many bytes are served under which cache control."""
        rows = self.query(
            "select name, id, created_at, owner, owner_id, user_metadata,"
            " metadata - 'mimetype' - 'lastModified' - 'eTag' as metadata from storage.objects"
            " where bucket_id = $1",
            BUCKET,
        )
        got = self._gotten([row["name"] for row in rows])
        return {
            row["name"]: (row, got[row["name"]].content, got[row["name"]].headers["cache-control"])
            for row in rows
        }

    def served(self) -> dict[str, str]:
        """The content type of each object as a browser gets it."""
        got = self._gotten(list(self.expected))
        return {path: answer.headers["content-type"] for path, answer in got.items()}

    def _gotten(self, paths: list[str]) -> dict[str, httpx.Response]:
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(paths, pool.map(self._get, paths), strict=True))

    def _get(self, path: str) -> httpx.Response:
        return self._http.get(f"/object/authenticated/{BUCKET}/{quote(path)}").raise_for_status()

    def audited(self) -> list[dict[str, Any]]:
        return self.query("select * from audit.type_repairs where bucket = $1", BUCKET)

    def mislabelled(self) -> int:
        """How many objects failed to be enriched for their declared type, and get another."""
        failed = self.query(
            "select path from public.media_assets where bucket = $1 and status = 'failed'", BUCKET
        )
        return sum(self.expected[row["path"]] != "image/png" for row in failed)

    def in_parts(self) -> list[str]:
        """The ids of all repairs in Parquet parts."""
        return [
            row
            for part in self._snapshots.glob("_type-repairs/**/*.parquet")
            for row in pq.read_table(part, partitioning=None)["id"].to_pylist()
        ]


def main() -> None:
    """Fill, enrich, repair with two kills, and check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=2_000, help="to repair, or not")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _started(Path(folder)) as bench:
        _repaired(bench, asked.objects)


@contextmanager
def _started(folder: Path) -> Iterator[Bench]:
    with LocalStack.start(folder / "stack") as stack, prefect_here(folder / "prefect"):
        migrations.apply(stack.database_url)
        os.environ.update(
            stack.environment(),
            MEDIA_ENRICHER_SNAPSHOT=str(folder / "snapshots"),
            MEDIA_ENRICHER_REPAIRS_PER_SECOND="500",
            MEDIA_ENRICHER_SILENCE_SECONDS="2",
            MEDIA_ENRICHER_HEARTBEAT_SECONDS="0.3",
            MEDIA_ENRICHER_FAILURE_THRESHOLD="1",
        )
        settings.cache_clear()  # flows read them when they are imported
        yield Bench(stack, folder / "snapshots")


def _repaired(bench: Bench, objects: int) -> None:
    bench.fill(objects)
    _say(str(backfill(BUCKET, return_state=True).message))
    before = bench.state()
    served = bench.served()
    to_do = sum(served[path] != wanted for path, wanted in bench.expected.items())
    for share in (3, 2):
        _say(f"killed after {_killed_after(bench, len(bench.audited()) + to_do // share // 2)}")
    mislabelled = bench.mislabelled()
    started = time.monotonic()
    _say(str(repair_types(BUCKET, return_state=True).message))
    _say(f"the last run: {time.monotonic() - started:.1f} s")
    again = str(repair_types(BUCKET, return_state=True).message)

    wrong = {path: got for path, got in bench.served().items() if got != bench.expected[path]}
    differing = [path for path, state in bench.state().items() if state != before[path]]
    rows = bench.audited()
    repaired = [row["path"] for row in rows if row["outcome"] == "repaired"]
    checks = {
        "served as what they are": not wrong,
        "all else as before": not differing and len(before) == objects + 3,
        "each repaired once": len(repaired) == len(set(repaired)) == to_do,
        "nothing is under way": all(row["settled_at"] for row in rows),
        "each try in one Parquet part": sorted(bench.in_parts())
        == sorted(str(row["id"]) for row in rows),
        "a second run does nothing": again.startswith("0 of 0 "),
        # What failed for its declared type is worth another look.
        "only mislabelled ones to enrich again": str(
            backfill(BUCKET, dry_run=True, return_state=True).message
        ).startswith(f"Dry run: {mislabelled:,} objects"),
    }
    for what, holds in checks.items():
        _say(f"{'yes' if holds else 'NO '}  {what}")
    for path, got in list(wrong.items())[:10]:
        _say(f"{path} is served as {got}, not as {bench.expected[path]}")
    for path in differing[:10]:
        _say(f"{path} was {before[path][0]}")
    sys.exit(0 if all(checks.values()) else 1)


def _killed_after(bench: Bench, repairs: int) -> int:
    """Start a run, kill it once so many repairs are in the audit, and return how many there are."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "repair-types", json.dumps({"bucket": BUCKET})],
        env=prefect_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(bench.audited()) < repairs and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(bench.audited())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
