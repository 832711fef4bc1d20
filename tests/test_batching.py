"""Batches: nothing lost, limits kept, and boundaries that survive a partly written run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_enricher.batching import CLUSTER_LIMITS, LIMITS, Batch, Looked, batches
from media_enricher.models import (
    ENRICHER_VERSION,
    AssetStatus,
    Depth,
    ErrorCode,
    MediaAsset,
    Outcome,
    StorageObject,
)

names = st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=200)


def objects(paths: list[str], size_bytes: int | None = 1_000) -> list[StorageObject]:
    return [StorageObject(bucket="b", path=path, size_bytes=size_bytes) for path in paths]


def outcome(path: str, code: ErrorCode | None = None) -> Outcome:
    return Outcome(
        asset=MediaAsset(
            bucket="b",
            path=path,
            etag=None,
            size_bytes=None,
            declared_content_type=None,
            depth=Depth.FULL,
            enricher_version=ENRICHER_VERSION,
            status=AssetStatus.FAILED if code else AssetStatus.ENRICHED,
            error_code=code,
        )
    )


@given(names, st.sampled_from(Depth))
def test_every_object_is_in_exactly_one_batch_in_order(paths: list[str], depth: Depth) -> None:
    cut = list(batches(objects(paths), depth))
    assert [member.path for batch in cut for member in batch.objects] == paths
    assert all(batch.objects for batch in cut)


@given(st.integers(1, 5_000), st.sampled_from(Depth), st.booleans())
def test_no_batch_passes_its_limits(count: int, depth: Depth, is_in_cluster: bool) -> None:
    limits = (CLUSTER_LIMITS if is_in_cluster else LIMITS)[depth]
    big = limits.size_bytes // 3
    members = objects([f"{i:05}" for i in range(count)], big)
    for batch in batches(members, depth, is_in_cluster=is_in_cluster):
        assert len(batch.objects) <= limits.objects
        but_the_last = sum(member.size_bytes or 0 for member in batch.objects[:-1])
        assert but_the_last < limits.size_bytes


@given(st.data())
def test_after_some_batches_were_written_the_others_are_cut_as_before(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12_000))
    everything = objects([f"folder/{i:06}.jpg" for i in range(count)])
    before = [batch.objects for batch in batches(everything, Depth.FULL)]
    written = data.draw(st.sets(st.integers(0, len(before) - 1)))
    left = [members for index, members in enumerate(before) if index not in written]
    pending = [member for members in left for member in members]
    # The last batch of all ends for want of members, so it alone may be glued to what follows it.
    assert [batch.objects for batch in batches(pending, Depth.FULL)] == left


@given(st.data())
def test_after_a_batch_was_written_in_part_its_rest_is_a_batch(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 9_000))
    everything = objects([f"folder/{i:06}.jpg" for i in range(count)])
    before = list(batches(everything, Depth.FULL))
    in_part = data.draw(st.sets(st.sampled_from(range(len(before)))))
    left: list[list[StorageObject]] = []
    for index, batch in enumerate(before):
        kept = data.draw(st.integers(1, 7)) if index in in_part else 1
        left.append(batch.objects[kept - 1 :: kept])
    left = [members for members in left if members]
    cuts = {path for index in in_part for path in (before[index].after, before[index].until)}
    pending = [member for members in left for member in members]
    assert [batch.objects for batch in batches(pending, Depth.FULL, cuts)] == left


def test_the_rest_of_a_batch_knows_what_failed_for_now() -> None:
    (batch,) = batches(objects(["a", "b", "c", "d"]), Depth.FULL)
    rest = batch.rest({"a"}, [outcome("b", ErrorCode.TIMEOUT)], rounds=2)
    assert rest is not None
    assert [member.path for member in rest.objects] == ["b", "c", "d"]
    assert [member.path for member in rest.untried()] == ["c", "d"]
    assert (rest.after, rest.until, rest.rounds) == ("", "d", 2)
    assert rest.rest({"b", "c", "d"}, [], rounds=2) is None


def looked(*paths: str, **differs: object) -> Looked:
    """A result with these outcomes, of which the last differs in these fields."""
    done = [outcome(path) for path in paths]
    for field, value in differs.items():
        setattr(done[-1].asset, field, value)
    return Looked(done, [], 0)


@pytest.mark.parametrize("paths", [["a"], ["b", "a"], ["a", "b"]])
def test_a_result_of_some_or_all_members_matches_its_batch(paths: list[str]) -> None:
    assert Batch(Depth.FULL, objects(["a", "b"])).mismatch(looked(*paths)) is None


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (looked(), "no outcomes"),
        (looked("c"), "'c' in bucket 'b' is not in the batch"),
        (looked("a", "c"), "'c' in bucket 'b' is not in the batch"),
        (looked("a", "a"), "or is twice"),
        (looked("a", bucket="another"), "'a' in bucket 'another' is not in the batch"),
        (looked("a", depth=Depth.HEADER), "at depth header, not full"),
        (looked("a", enricher_version=0), f"by version 0, not {ENRICHER_VERSION}"),
    ],
)
def test_a_result_of_anything_else_does_not_match(result: Looked, reason: str) -> None:
    assert reason in (Batch(Depth.FULL, objects(["a", "b"])).mismatch(result) or "")
