"""How often a run asks Supabase, and how much of it one after the other: a far one takes as long.

Each request takes so long that those which a run makes side by side are under way together, also
where the machine is busy. A run that waits for one more, at its start or end, fails here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks.enrich
from media_enricher.models import Depth
from media_enricher.orchestration import resources
from media_enricher.settings import settings, supabase_settings
from tests.bench.delaying_proxy import Distance, Passed, delayed
from tests.bench.round_trips import READ, kind, logged, one_after_the_other
from tests.flows.conftest import FilledBucket
from tests.flows.test_backfill import run

OBJECTS = 1_000
ROUND_TRIP_SECONDS = 0.5
MOST = Counter(
    {
        READ: OBJECTS,
        "media_record_run": 3,
        "media_own_buckets": 1,
        "GET bucket": 2,
        "media_compare_piece": 1,
        "media_compare_next_piece": 1,
        "media_cuts": 1,
        "media_pending_page": 1,
        "media_give_up_parts": 1,
        "DELETE object": 1,
        "media_forget_parts": 1,
        "POST object/list-v2": 1,
        "media_open_part": 1,
        "POST object": 1,
        "media_record_part": 1,
        "POST object/move": 1,
    }
)
MOST_UNTIL_OBJECTS_ARE_KNOWN = 3
"""The engine starts meanwhile. The snapshot is opened after that, while objects are read."""
MOST_AT_THE_END = 5
"""After the last object is read."""


@pytest.fixture
def far(bucket: FilledBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Supabase is far away. Yields the log of the requests that are made there."""
    run(bucket)  # creates the bucket of snapshots
    monkeypatch.setattr(tasks.enrich, "GRACE_SECONDS", 60.0)  # so one batch is one part
    monkeypatch.setenv("MEDIA_ENRICHER_HEARTBEAT_SECONDS", "60")
    distance = Distance(rtt_seconds=ROUND_TRIP_SECONDS, log=str(tmp_path / "log"))
    with delayed(bucket.stack.url, distance) as url:
        monkeypatch.setenv("SUPABASE_URL", url)
        for group in (settings, supabase_settings):
            group.cache_clear()
        resources.forget()
        yield tmp_path / "log"


def test_a_run_asks_and_waits_no_more_than_it_must(bucket: FilledBucket, far: Path) -> None:
    bucket.fill(OBJECTS)
    assert run(bucket, depth=Depth.HEADER).is_completed()
    requests = logged(far)
    assert not requests.counts() - MOST
    kinds = [kind(each) for each in requests.start]
    until_known = requests.start[: kinds.index("media_pending_page") + 1]
    assert len(waited_for(until_known)) <= MOST_UNTIL_OBJECTS_ARE_KNOWN, until_known
    assert len(waited_for(requests.end)) <= MOST_AT_THE_END, requests.end


def waited_for(requests: list[Passed]) -> list[str]:
    return [kind(each) for each in one_after_the_other(requests)]
