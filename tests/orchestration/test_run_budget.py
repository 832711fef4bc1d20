"""The budget of a run: lent to batches, taken back, and split among shards."""

from __future__ import annotations

import pytest

from media_enricher.batching import Batch
from media_enricher.models import Depth, StorageObject
from media_enricher.orchestration.run_budget import RunBudget, split_bytes


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> RunBudget:
    monkeypatch.setenv("SUPABASE_URL", "http://localhost:1")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_of_the_tests")
    return RunBudget(1_000, read_before=200)


def batch(*sizes: int) -> Batch:
    return Batch(
        depth=Depth.FULL,
        objects=[
            StorageObject(bucket="b", path=f"{number}.png", size_bytes=size)
            for number, size in enumerate(sizes)
        ],
    )


def test_batches_are_lent_what_they_may_read_and_the_last_one_what_is_left(
    budget: RunBudget,
) -> None:
    first, second = batch(300, 200), batch(100, 400)
    assert budget.lend(first)
    assert first.allowance == 500
    assert not budget.lend(second), "the first one may still read all that it was lent"
    assert not budget.is_used_up
    budget.take_back(first, read=450)
    assert budget.lend(second)
    assert second.allowance == 350, "its first object fits, and the engine keeps to it"
    budget.take_back(second, read=100)
    assert not budget.lend(batch(251))
    assert budget.is_used_up
    assert budget.summary() == "stopped by max_bytes = 1,000"


def test_what_a_batch_was_lent_and_found_in_the_cache_comes_back(budget: RunBudget) -> None:
    cached = batch(800)
    assert budget.lend(cached)
    budget.take_back(cached, read=0)
    assert budget.lend(batch(800))


def test_objects_that_no_run_with_this_budget_could_read_are_left_out(budget: RunBudget) -> None:
    objects = batch(1_000, 1_001, 5, 2_000).objects
    assert [each.size_bytes for each in budget.affordable(objects, Depth.FULL)] == [1_000, 5]
    assert budget.left_out == 2
    assert budget.has_held_back
    assert budget.summary() == (
        "left out 2 of which each needs more than max_bytes = 1,000, the first is '1.png'"
    )


@pytest.mark.parametrize(
    ("max_bytes", "weights", "parts"),
    [
        (100, [1, 1, 2], [25, 25, 50]),
        (100, [1, 1, 1], [33, 33, 34]),
        (10, [10**12], [10]),
        (2, [1, 1, 1], [1, 1, 1]),
        (100, [0, 0], [100, 1]),
        (100, [], []),
        (-5, [1], [1]),
    ],
)
def test_a_budget_is_split_by_weight(max_bytes: int, weights: list[int], parts: list[int]) -> None:
    assert list(split_bytes(max_bytes, weights)) == parts
