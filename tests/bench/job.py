"""What the loop and the script are told and tell: one JSON file in, one JSON line out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from media_enricher.models import Depth, StorageObject


class Job(msgspec.Struct, kw_only=True):
    """Which objects to read, and from where. The flow has to find out by itself."""

    supabase_url: str
    service_key: str
    depth: Depth
    processes: int
    downloads: int
    """At once, of all processes together."""
    objects: list[StorageObject]


class Done(msgspec.Struct, kw_only=True):
    """What a contender did, and when, in Unix seconds."""

    objects: int
    described: int
    """Those with a width and a height."""
    first_request: float
    last_result: float


def main(contend: Callable[[Job], Done]) -> None:
    """Read the job named on the command line, do it, and say what was done."""
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    sys.stdout.write(msgspec.json.encode(contend(job)).decode() + "\n")
