"""`make bench-hostile`: what hostile files cost those beside them, in the engine.

300 photographs alone, and with three of a hostile kind among them; kind by kind, in full depth. One
per cent of hostile files may make a run 1.5 times as long.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from media_enricher.demo.filling import content_type, settings_of
from media_enricher.engine import EngineOptions, EnrichPool
from media_enricher.models import Depth, StorageObject
from media_enricher.settings import Settings
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from supabase_local import LocalStack
from tests.bench import corpus
from tests.corpora import KEPT
from tests.probe.test_hostile_costs import CATALOGUE

PHOTOGRAPHS = 300
COPIES = 3


def main() -> None:
    """Measure, and print for each kind how many times as long it takes with such files beside."""
    parser = argparse.ArgumentParser(prog="make bench-hostile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    photographs = corpus.photographs(KEPT / "bench" / "photographs", PHOTOGRAPHS)
    with tempfile.TemporaryDirectory() as folder, LocalStack.start(Path(folder)) as stack:
        supabase = settings_of(stack)
        bucket = Bucket(connect(supabase), "bench-hostile")
        bucket.create_private()
        good = [_put(bucket, path.name, path.read_bytes()) for path in photographs]
        with EnrichPool(EngineOptions.from_settings(Settings(), supabase)) as pool:
            pool.enrich(good[:8], Depth.FULL)
            for kind, (make, size, name) in CATALOGUE.items():
                data = make(size)
                bad = [_put(bucket, f"{copy}/{kind}/{name}", data) for copy in range(COPIES)]
                ratios = []
                for _ in range(asked.rounds):
                    alone = _seconds(pool, good)
                    ratios.append(_seconds(pool, [*bad, *good]) / alone)
                sys.stdout.write(f"{median(ratios):5.2f}  {kind}\n")
                sys.stdout.flush()


def _put(bucket: Bucket, name: str, data: bytes) -> StorageObject:
    bucket.upload(name, data, content_type(name))
    return StorageObject(bucket=bucket.name, path=name, size_bytes=len(data))


def _seconds(pool: EnrichPool, objects: list[StorageObject]) -> float:
    began = time.monotonic()
    pool.enrich(objects, Depth.FULL)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
