"""Buckets of several pieces: what is counted, marked as gone and planned is right across their
borders, also where objects come and go between two pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from media_enricher.comparisons import ComparedPiece, ComparisonStep
from media_enricher.models import ErrorCode, Mode, Selection, StorageObject
from media_enricher.orchestration import resources
from media_enricher.orchestration.comparing import Compared, compare_part, compare_whole
from media_enricher.supabase import assets, pieces
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.errors import SupabaseError
from tests.flows.conftest import FilledBucket, photo
from tests.flows.test_backfill import run

PIECE = 7
MANY = 40


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "PIECE_ROWS", PIECE)
    monkeypatch.setattr(pieces, "PIECE_ROWS", PIECE)
    monkeypatch.setattr(pieces, "_PIECES_A_CALL", 2)


@pytest.fixture
def before_piece(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Do something once, right before so many pieces were compared."""

    def act_before(number: int, act: Callable[[], None]) -> None:
        compared: list[Selection] = []
        compare = AssetTable.compare_piece

        def acting(table: AssetTable, left: Selection, **options: Any) -> ComparedPiece:
            if len(compared) == number:
                act()
            compared.append(left)
            return compare(table, left, **options)

        monkeypatch.setattr(AssetTable, "compare_piece", acting)

    return act_before


def path(number: int) -> str:
    return f"photos/{number:05}.jpg"


def gone(bucket: FilledBucket) -> list[str]:
    return sorted(path for path, row in bucket.rows().items() if row["gone_at"])


def known_pending(bucket: FilledBucket) -> dict[str, int]:
    """What the dashboard says is pending, as it was counted last."""
    rows = bucket.query(
        "select value, objects from public.media_totals"
        " where bucket = $1 and scope = '' and facet = 'pending'",
        bucket.name,
    )
    return {row["value"]: row["objects"] for row in rows}


def test_a_run_does_each_object_of_each_piece_once(bucket: FilledBucket) -> None:
    bucket.fill(MANY)
    assert run(bucket).is_completed()
    assert bucket.downloads() == dict.fromkeys(map(path, range(1, MANY + 1)), 1)
    record = bucket.latest_run()
    assert (record["total_files"], record["processed_files"]) == (MANY, MANY)
    assert known_pending(bucket) == {"missing": 0, "unrecorded": 0}

    deleted = [path(number) for number in (1, PIECE, PIECE + 1, 2 * PIECE, 30, MANY)]
    for each in deleted:
        bucket.delete(each)
    new = ["a.jpg", f"{path(PIECE)}x", f"{path(2 * PIECE - 1)}x", "z.jpg"]
    bucket.put_all({each: photo(number) for number, each in enumerate(new)})
    bucket.put(path(2), photo(99))
    assert run(bucket).is_completed()
    assert bucket.downloads() == dict.fromkeys([*new, path(2)], 1)
    assert gone(bucket) == deleted
    assert bucket.latest_run()["total_files"] == 5
    bucket.assert_accounts_agree(bucket.latest_run()["id"])
    assert known_pending(bucket) == {"missing": 0, "unrecorded": 0}


def test_a_limit_and_a_range_end_within_a_piece(bucket: FilledBucket) -> None:
    bucket.fill(MANY)
    assert run(bucket, limit=PIECE + 3, after=path(2)).is_completed()
    assert sorted(bucket.rows()) == [path(number) for number in range(3, PIECE + 6)]
    assert bucket.latest_run()["total_files"] == PIECE + 3
    assert run(bucket, after=path(20), until=path(20 + PIECE)).is_completed()
    assert bucket.latest_run()["processed_files"] == PIECE
    dry = run(bucket, dry_run=True, prefix="photos/")
    assert f"{MANY - 2 * PIECE - 3} objects" in str(dry.message)


def test_shares_of_several_pieces_leave_nothing_out(bucket: FilledBucket) -> None:
    bucket.fill(MANY)
    selection = Selection(bucket=bucket.name, mode=Mode.ALL)
    shares = resources.asset_table().split_pending(selection, 3)
    assert sum(share.objects for share in shares) == MANY
    ends = [share.until for share in shares]
    assert (ends, ends[-1]) == (sorted(ends), path(MANY))
    assert max(share.objects for share in shares) <= MANY / 3 + 1


def test_what_comes_and_goes_while_a_run_counts_is_done_or_left_to_the_next(
    bucket: FilledBucket, before_piece: Callable[[int, Callable[[], None]], None]
) -> None:
    """Behind the place nothing is seen any more, ahead of it everything is."""
    bucket.fill(MANY)
    assert run(bucket).is_completed()
    bucket.put(path(35), photo(98))
    bucket.downloads()

    def change() -> None:
        """At the third piece, which begins after the 14th object."""
        bucket.put("a-behind.jpg", photo(1))
        bucket.put(f"{path(20)}-ahead.jpg", photo(2))
        bucket.delete(path(3))
        bucket.delete(path(30))
        bucket.delete(path(35))

    before_piece(2, change)
    assert run(bucket).is_completed()
    assert set(bucket.downloads()) == {f"{path(20)}-ahead.jpg"}
    record = bucket.latest_run()
    assert (record["total_files"], record["processed_files"]) == (1, 1)
    # The run counts what is missing at its end, and so has a second look at what is behind.
    assert gone(bucket) == [path(3), path(30), path(35)]
    assert known_pending(bucket) == {"missing": 1, "unrecorded": 1}

    assert run(bucket).is_completed()
    assert set(bucket.downloads()) == {"a-behind.jpg"}
    assert known_pending(bucket) == {"missing": 0, "unrecorded": 0}


def test_many_that_are_pending_are_done_while_others_come_and_go(
    bucket: FilledBucket, before_piece: Callable[[int, Callable[[], None]], None]
) -> None:
    bucket.fill(MANY)

    def change() -> None:
        bucket.put_all({f"{path(30)}-{number}.jpg": photo(number) for number in range(PIECE)})
        for number in range(36, MANY + 1):
            bucket.delete(path(number))

    before_piece(3, change)
    assert run(bucket).is_completed()
    done = 35 + PIECE
    record = bucket.latest_run()
    assert (record["total_files"], record["processed_files"]) == (done, done)
    assert set(bucket.downloads().values()) == {1}
    assert len(bucket.rows()) == done
    bucket.assert_accounts_agree(record["id"])


def test_what_was_deleted_between_its_count_and_its_page_leaves_the_total(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(5)
    pages = AssetTable.pending_pages

    def deleting(
        table: AssetTable, selection: Selection, **options: Any
    ) -> Iterator[list[StorageObject]]:
        bucket.delete(path(2))
        return pages(table, selection, **options)

    monkeypatch.setattr(AssetTable, "pending_pages", deleting)
    state = run(bucket)
    assert "4 enriched of 4 in " in (state.message or ""), "as the artifact says"
    record = bucket.latest_run()
    assert record["status"] == "completed"
    assert (record["total_files"], record["processed_files"]) == (4, 4)


def compared_part(bucket: FilledBucket, rows: int) -> Compared:
    """What a sweep compares, if its part is of so many objects."""
    following = resources.asset_table().next_comparison(bucket.name)
    return compare_part(bucket.name, msgspec.structs.replace(following, part_rows=rows))


def test_parts_of_sweeps_add_up_while_objects_come_and_go_between_them(
    bucket: FilledBucket,
) -> None:
    bucket.fill(MANY)
    assert run(bucket).is_completed()
    bucket.put_all({"a.jpg": photo(1), "z.jpg": photo(2)})
    first = compared_part(bucket, PIECE + 1)
    assert (first.objects, first.pending, first.gone) == (2 * PIECE, 1, 0)

    bucket.delete(path(2))  # behind the place
    bucket.delete(path(PIECE * 3))
    bucket.put("b.jpg", photo(3))
    bucket.put(f"{path(30)}x", photo(4))
    rest: list[Compared] = []
    while not rest or resources.asset_table().next_comparison(bucket.name).number is not None:
        rest.append(compared_part(bucket, PIECE))
    assert sum(part.objects for part in rest) == MANY + 2 - 2 * PIECE
    assert sum(part.pending for part in rest) == 2
    assert gone(bucket) == [path(PIECE * 3)]
    assert known_pending(bucket) == {"missing": 3, "unrecorded": 3}

    following = compare_whole(bucket.name)
    assert (following.gone, following.pending, following.objects) == (1, 4, MANY + 2)
    assert following.pieces == (MANY + 2) // PIECE + 1
    assert gone(bucket) == [path(2), path(PIECE * 3)]
    assert known_pending(bucket) == {"missing": 4, "unrecorded": 4}


@pytest.mark.parametrize(
    ("pieces_done", "left"), [(1, MANY - PIECE), (3, MANY - 3 * PIECE), (MANY // PIECE + 1, MANY)]
)
def test_the_next_sweep_goes_on_where_a_comparison_was_killed(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch, pieces_done: int, left: int
) -> None:
    """It asked for one more piece, and never knew that it was compared. After the last piece, the
    next sweep begins again."""
    bucket.fill(MANY)
    go_on, done = AssetTable.compare_next_piece, 0

    def killed(table: AssetTable, name: str, number: int | None) -> ComparisonStep | None:
        nonlocal done
        step = go_on(table, name, number)
        done += 1
        if done == pieces_done:
            raise SupabaseError(ErrorCode.NETWORK, "the connection is gone")
        return step

    with monkeypatch.context() as patched:
        patched.setattr(AssetTable, "compare_next_piece", killed)
        with pytest.raises(SupabaseError):
            compare_whole(bucket.name)
    assert compared_part(bucket, MANY).objects == left
    assert known_pending(bucket) == {"missing": MANY, "unrecorded": MANY}


def test_a_comparison_ends_where_another_one_begins(
    bucket: FilledBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.fill(MANY)
    go_on, others = AssetTable.compare_next_piece, list[Compared]()

    def interrupted(table: AssetTable, name: str, number: int | None) -> ComparisonStep | None:
        if number is not None and not others:
            monkeypatch.undo()
            monkeypatch.setattr(assets, "PIECE_ROWS", PIECE)
            others.append(compare_whole(name))
        return go_on(table, name, number)

    monkeypatch.setattr(AssetTable, "compare_next_piece", interrupted)
    first = compare_whole(bucket.name)
    assert (first.objects, first.is_whole) == (PIECE, False)
    assert [(other.objects, other.is_whole) for other in others] == [(MANY, True)]
    assert known_pending(bucket) == {"missing": MANY, "unrecorded": MANY}
