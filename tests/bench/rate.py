"""Measure the rate of downloads: `python -m tests.bench.rate [MBIT ...]`.

The engine reads objects from a server of its own at each limit, for about ten seconds, and the rate
that it kept is printed. It must be within 10% of the limit. One of the two workers has little to do
for half of that time: the objects are few and large at the end. A limit tells nothing where the
machine reads more slowly than that without any, so that is measured first.
"""

from __future__ import annotations

import sys
import time

from media_enricher.engine import EngineOptions, EnrichPool
from media_enricher.models import Depth, StorageObject
from media_enricher.probe import ProbeOptions
from tests.engine.conftest import png
from tests.engine.faulty_storage import FaultyStorage, etag_of

SECONDS = 10
LIMITS = (10.0, 50.0, 200.0)
KIB = 1024


def main(limits: tuple[float, ...]) -> None:
    """Measure each limit, in Mbit/s."""
    unlimited = measure(max(limits), is_limited=False)
    sys.stdout.write(f"no limit: read at {unlimited:.2f} Mbit/s\n")
    for limit in limits:
        kept = measure(limit)
        deviation = kept / limit - 1
        sys.stdout.write(f"limit {limit:g} Mbit/s: read at {kept:.2f} Mbit/s ({deviation:+.1%})\n")


def measure(limit: float, *, is_limited: bool = True) -> float:
    """Read for about `SECONDS` at the limit, or as much without one; return the rate in Mbit/s."""
    with FaultyStorage() as storage:
        objects = _fill(storage, int(limit * 1e6 / 8 * SECONDS))
        options = EngineOptions(
            supabase_url=storage.url,
            service_key="sb_secret_of_the_benchmark",
            workers=2,
            probe=ProbeOptions(max_pixels=10_000_000, location=False, exif_tags=()),
            max_bytes_per_second=limit * 1e6 / 8 if is_limited else None,
        )
        with EnrichPool(options) as pool:
            pool.enrich(objects[:4], Depth.FULL)  # the workers have started
            began = time.monotonic()
            outcomes = pool.enrich(objects[4:], Depth.FULL)
            seconds = time.monotonic() - began
    return sum(outcome.bytes_read for outcome in outcomes) * 8 / 1e6 / seconds


def _fill(storage: FaultyStorage, total: int) -> list[StorageObject]:
    """Objects of 100 KiB, and at the end a large one for one worker alone."""
    small, large = png(20) + bytes(100 * KIB), png(20) + bytes(total // 4)
    data = [small] * max(8, (total - len(large)) // len(small)) + [large]
    objects = []
    for number, each in enumerate(data):
        storage.objects[f"b/{number:06}.png"] = each
        objects.append(
            StorageObject(
                bucket="b", path=f"{number:06}.png", etag=etag_of(each), size_bytes=len(each)
            )
        )
    return objects


if __name__ == "__main__":
    main(tuple(float(argument) for argument in sys.argv[1:]) or LIMITS)
