"""One run of a peer on one set of files, measured as the other contenders are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from tests.bench import sampler
from tests.bench.contenders import CORES, IncompleteError, Measured, Round, Run, measure_run
from tests.bench.stage import Stage

Peer = Literal["img2dataset", "daft"]
MOST_LOST = 0.05
"""A peer may give up this share: the formats that it cannot decode, of which AVIF are 3%."""
OFFLINE = {
    "NO_ALBUMENTATIONS_UPDATE": "1",  # img2dataset's: each process looks for a newer version
    "DAFT_ANALYTICS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}


class PeerJob(msgspec.Struct, kw_only=True):
    """What a peer is told."""

    urls: list[str]
    folder: str
    """Empty, for what it writes."""
    processes: int


class PeerDone(msgspec.Struct, kw_only=True):
    """What a peer did, and when, in Unix seconds."""

    version: str
    described: int
    """Images of which it knows width and height."""
    lost: int
    """Images that it could not download or decode."""
    first_request: float
    last_result: float


def measure_peer(stage: Stage, peer: Peer, python: Path, each: Round) -> Measured:
    """Run a peer in its own environment.

    Raises:
        IncompleteError: it lost too many images.
        sampler.FailedError: the program failed.
    """
    urls = stage.signed_urls(each.bucket, each.objects)

    def run(_environment: dict[str, str]) -> Run:
        with tempfile.TemporaryDirectory() as folder:
            job = Path(folder) / "job.json"
            job.write_bytes(msgspec.json.encode(PeerJob(urls=urls, folder=folder, processes=CORES)))
            program = Path(__file__).with_name(f"run_{peer}.py")
            ran = sampler.run([str(python), str(program), str(job)], OFFLINE)
        done = msgspec.json.decode(ran.lines[-1], type=PeerDone)
        refuse_incomplete(peer, done, each.objects)
        return Run(
            started=ran.started,
            first_request=done.first_request,
            last_result=done.last_result,
            usage=ran.usage,
            lost=done.lost,
            version=done.version,
        )

    return measure_run(stage, peer, each, run)


def refuse_incomplete(peer: Peer, done: PeerDone, objects: int) -> None:
    """Refuse a run that says nothing of a part of the images, or gave up many.

    Raises:
        IncompleteError: it did.
    """
    if done.described + done.lost != objects or done.lost > objects * MOST_LOST:
        raise IncompleteError(
            f"{peer} described {done.described:,} of {objects:,} images, and gave up {done.lost:,}"
        )
