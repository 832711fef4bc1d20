"""The bounds of batches: stored before a part of one is written, deleted once all of it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from media_enricher.batching import Batch
from media_enricher.models import Depth, StorageObject
from media_enricher.orchestration import resources
from media_enricher.orchestration.batch_cuts import Cuts

pytestmark = pytest.mark.usefixtures("migrated_stack", "supabase_environment")


@pytest.fixture
def bucket(make_bucket: Callable[[], str]) -> str:
    return make_bucket()


def batch_of(bucket: str, after: str, until: str) -> Batch:
    member = StorageObject(bucket=bucket, path=until, size_bytes=1, declared_content_type=None)
    return Batch(depth=Depth.HEADER, objects=[member], after=after, until=until)


def note(cuts: Cuts) -> None:
    cuts.note()
    cuts.wait()


def test_bounds_stay_until_the_last_outcomes_are_written(bucket: str) -> None:
    def stored() -> list[str]:
        return sorted(resources.asset_table().cuts(bucket))

    cuts, first = Cuts(), batch_of(bucket, "a", "m")
    cuts.follow(first, rest=first)
    note(cuts)
    assert stored() == ["a", "m"]
    cuts.follow(first, rest=None)
    note(cuts)
    cuts.written()  # the outcomes of the first call alone
    note(cuts)
    assert stored() == ["a", "m"], "the last outcomes are not written yet"
    cuts.written()
    note(cuts)
    assert stored() == []


def test_the_bound_of_a_batch_that_is_not_done_stays(bucket: str) -> None:
    cuts, first, second = Cuts(), batch_of(bucket, "a", "m"), batch_of(bucket, "m", "z")
    cuts.follow(first, rest=first)
    cuts.follow(second, rest=second)
    cuts.follow(first, rest=None)
    note(cuts)
    cuts.written()
    note(cuts)
    assert sorted(resources.asset_table().cuts(bucket)) == ["m", "z"]
