"""`repair-types`: content types as browsers get them, and all else as it was."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow.parquet as pq
import pytest
from prefect.client.schemas.objects import State, StateType

from flows.backfill import backfill
from flows.repair_types import repair_types
from media_enricher.models import ErrorCode
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.errors import SupabaseError
from tests.flows.conftest import FilledBucket, FlowProcess, photo
from tests.waiting import wait_for

GENERIC = "application/octet-stream"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect/></svg>'
ALBUM = {"album": "Été 😀", "n": 12345678901234567890}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Parquet parts are written; and no waiting for what was interrupted."""
    monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", str(tmp_path / "snapshots"))
    monkeypatch.setenv("MEDIA_ENRICHER_SILENCE_SECONDS", "0.1")
    monkeypatch.setenv("MEDIA_ENRICHER_HEARTBEAT_SECONDS", "0.01")
    monkeypatch.setenv("MEDIA_ENRICHER_REPAIRS_PER_SECOND", "1000")
    return tmp_path / "snapshots"


class Uploads:
    """Objects with owners, metadata and cache control, and what Storage says of them."""

    def __init__(self, http: httpx.Client, bucket: FilledBucket) -> None:
        self._http = http
        self.bucket = bucket
        self.users = bucket.stack.users

    def put(self, path: str, data: bytes, declared: str, owner: str | None = None) -> None:
        headers = {
            "content-type": declared,
            "cache-control": f"max-age={len(path)}",
            "x-metadata": base64.b64encode(json.dumps(ALBUM | {"path": path}).encode()).decode(),
        }
        self._http.post(
            f"/object/{self.bucket.name}/{quote(path)}", content=data, headers=headers
        ).raise_for_status()
        self.bucket.query(
            "update storage.objects set owner_id = $3, owner = $3::text::uuid"
            " where bucket_id = $1 and name = $2",
            *(self.bucket.name, path, owner),
        )

    def mix(self) -> dict[str, str]:
        """Objects of all sorts, enriched; what each is to be served as, by its path."""
        self.put("photos/a 1.jpg", photo(1), GENERIC, self.users.ada.id)
        self.put("photos/b+c.jpg", photo(2), "text/plain;charset=UTF-8", self.users.ben.id)
        self.put("photos/jpg", photo(3), "image/jpg")
        self.put("photos/right.jpg", photo(4), "image/jpeg", self.users.ada.id)
        self.put("photos//wrong.png", photo(5, fmt="PNG"), "image/jpeg", self.users.ada.id)
        self.put("logo.svg", SVG, GENERIC, self.users.ada.id)
        self.put("page.svg", SVG, "text/html", self.users.ada.id)
        self.put("note", b"plain text, " * 30, GENERIC)
        self.put("data.json", b'{"a": 1}', "text/plain")
        enriched = backfill(self.bucket.name, return_state=True)
        assert enriched.type is StateType.COMPLETED, enriched.message
        return {
            "photos/a 1.jpg": "image/jpeg",
            "photos/b+c.jpg": "image/jpeg",
            "photos/jpg": "image/jpeg",
            "photos/right.jpg": "image/jpeg",
            "photos//wrong.png": "image/png",
            "logo.svg": GENERIC,  # it would become more executable
            "page.svg": "image/svg+xml",
            "note": "text/plain",
            "data.json": "text/plain",  # it is text, too
        }

    def find(self) -> None:
        """Enrich all as JPEGs, as far as repairs need it, without an engine."""
        self.bucket.query(
            "insert into public.media_assets (bucket, path, object_id, user_id, owner_id, etag,"
            " status, depth, enricher_version, size_bytes, declared_content_type, content_type)"
            " select bucket_id, name, id, owner, owner_id, metadata ->> 'eTag', 'enriched',"
            " 'header', 1, 1, metadata ->> 'mimetype', 'image/jpeg'"
            " from storage.objects where bucket_id = $1",
            self.bucket.name,
        )

    def served(self) -> dict[str, str]:
        """The content type of each object, as a browser gets it."""
        return {path: self.get(path).headers["content-type"] for path in self.stored()}

    def get(self, path: str) -> httpx.Response:
        answer = self._http.get(f"/object/authenticated/{self.bucket.name}/{quote(path)}")
        assert answer.status_code == 200, answer.text
        return answer

    def stored(self) -> dict[str, dict[str, Any]]:
        """Each object's row, but for what a repair is to change, with its bytes and headers."""
        rows = self.bucket.query(
            "select name, id, created_at, owner, owner_id, user_metadata,"
            " metadata - 'mimetype' - 'lastModified' as metadata from storage.objects"
            " where bucket_id = $1",
            self.bucket.name,
        )
        return {row.pop("name"): row for row in rows}

    def whole(self) -> dict[str, Any]:
        """The same, with the bytes and the cache control that are served."""
        return {
            path: (row, (got := self.get(path)).content, got.headers["cache-control"])
            for path, row in self.stored().items()
        }

    def audited(self, columns: str = "path, outcome") -> list[tuple[Any, ...]]:
        return [
            tuple(row.values())
            for row in self.bucket.query(
                f"select {columns} from audit.type_repairs where bucket = $1 order by started_at",
                self.bucket.name,
            )
        ]


@pytest.fixture
def uploads(http: httpx.Client, bucket: FilledBucket) -> Uploads:
    return Uploads(http, bucket)


def repaired(uploads: Uploads, **parameters: Any) -> State[Any]:
    return repair_types(uploads.bucket.name, return_state=True, **parameters)


def in_parts(place: Path) -> list[str]:
    """The paths in all Parquet parts."""
    return [
        path
        for part in place.rglob("_type-repairs/**/*.parquet")
        for path in pq.read_table(part, partitioning=None)["path"].to_pylist()
    ]


def test_types_are_right_and_all_else_is_as_before(uploads: Uploads, place: Path) -> None:
    expected = uploads.mix()
    before = uploads.whole()

    state = repaired(uploads)

    assert state.type is StateType.COMPLETED, state.message
    assert state.message
    assert state.message.startswith("6 of 6 content types repaired; left as they are: ")
    assert uploads.served() == expected
    assert uploads.whole() == before
    # Planning finds nothing to enrich again.
    assert "0 objects" in str(
        backfill(uploads.bucket.name, dry_run=True, return_state=True).message
    )
    assert all(
        row["declared_content_type"].partition(";")[0] == expected[path]
        for path, row in uploads.bucket.rows().items()
    )
    changed = {outcome for _, outcome in uploads.audited()}
    assert changed == {"repaired"}
    assert sorted(in_parts(place)) == sorted(path for path, _ in uploads.audited())

    # A second run does nothing.
    again = repaired(uploads)
    assert again.message
    assert again.message.startswith("0 of 0 content types repaired")
    assert len(uploads.audited()) == 6


def test_a_dry_run_and_a_limit(uploads: Uploads) -> None:
    for path in ("a", "photos/a", "photos/b", "photos/c"):
        uploads.put(path, photo(1), GENERIC)
    uploads.find()
    state = repaired(uploads, dry_run=True)
    assert state.message == "Dry run: 4 content types to repair"
    assert set(uploads.served().values()) == {GENERIC}
    assert uploads.audited() == []

    assert str(repaired(uploads, limit=2, prefix="photos/").message).startswith("2 of 2 content")
    assert sorted(uploads.audited("path")) == [("photos/a",), ("photos/b",)]


def test_one_that_changed_since_it_was_enriched_is_left_and_said(uploads: Uploads) -> None:
    uploads.put("a", photo(1), GENERIC)
    uploads.find()
    uploads.bucket.put("a", SVG, GENERIC)
    assert str(repaired(uploads).message).endswith("left as they are: 1 stale")
    assert uploads.served() == {"a": GENERIC}


def test_metadata_that_fits_into_no_header_is_kept(uploads: Uploads) -> None:
    uploads.put("a", photo(1), GENERIC, uploads.users.ada.id)
    uploads.bucket.query(
        "update storage.objects set user_metadata = jsonb_build_object('note', repeat('x', 20000))"
        " where bucket_id = $1",
        uploads.bucket.name,
    )
    uploads.find()
    before = uploads.whole()
    assert repaired(uploads).message == "1 of 1 content types repaired"
    assert uploads.whole() == before
    assert uploads.served() == {"a": "image/jpeg"}


def test_a_bucket_that_does_not_take_the_type_keeps_its_objects(uploads: Uploads) -> None:
    uploads.put("a", photo(1), "image/png")
    uploads.find()
    uploads.bucket.query(
        "update storage.buckets set allowed_mime_types = '{image/png}' where id = $1",
        uploads.bucket.name,
    )
    assert str(repaired(uploads).message).endswith("left as they are: 1 refused-by-bucket")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupted_repair_is_gone_on_with(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, place: Path, moment: str
) -> None:
    """As if it was killed before Storage made the copy, or after it, before the owner was back."""
    for number in range(3):
        uploads.put(f"{number}", photo(number), GENERIC, uploads.users.ada.id)
    uploads.find()
    before = uploads.whole()
    copy = Bucket.copy_onto_itself

    def killed(self: Bucket, path: str, *given: Any, **named: Any) -> str | None:
        if moment == "after":
            copy(self, path, *given, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as killing:
        killing.setattr(Bucket, "copy_onto_itself", killed)
        with pytest.raises(BaseException):  # noqa: B017, PT011 - however Prefect lets it through
            repaired(uploads, limit=1).result()
    assert uploads.audited("outcome") == [("started",)]
    assert (uploads.stored()["0"]["owner_id"] is None) is (moment == "after")

    state = repaired(uploads)

    assert state.type is StateType.COMPLETED, state.message
    assert "1 of an interrupted run settled" in str(state.message)
    assert uploads.whole() == before
    assert set(uploads.served().values()) == {"image/jpeg"}
    assert sorted(in_parts(place)) == sorted(path for path, _ in uploads.audited())


def test_storage_away_while_copying_loses_no_owner(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.put("a", photo(1), GENERIC, uploads.users.ada.id)
    uploads.find()
    before = uploads.whole()
    copy = Bucket.copy_onto_itself

    def answer_lost(self: Bucket, path: str, *given: Any, **named: Any) -> str | None:
        copy(self, path, *given, **named)
        raise SupabaseError(ErrorCode.NETWORK, "the answer was lost")

    monkeypatch.setattr(Bucket, "copy_onto_itself", answer_lost)
    assert repaired(uploads).message == "1 of 1 content types repaired"
    assert uploads.audited("outcome") == [("repaired",)]
    assert uploads.whole() == before
    assert uploads.served() == {"a": "image/jpeg"}


def test_a_storage_that_serves_the_old_type_stops_the_run(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads.put("a", photo(1), GENERIC)
    uploads.find()
    monkeypatch.setattr(Bucket, "served_type", lambda *_: GENERIC)
    state = repaired(uploads)
    assert state.type is StateType.FAILED
    assert "still serves 'a' as application/octet-stream" in str(state.message)


def test_cancelled_and_killed_in_the_middle_it_goes_on(
    uploads: Uploads, start_flow: Callable[..., FlowProcess], place: Path
) -> None:
    count = 60
    uploads.bucket.fill(count)
    uploads.bucket.query(
        "update storage.objects set owner_id = $2, owner = $2::text::uuid,"
        " user_metadata = '{\"kept\": true}',"
        ' metadata = metadata || \'{"mimetype": "application/octet-stream"}\''
        " where bucket_id = $1",
        *(uploads.bucket.name, uploads.users.ada.id),
    )
    uploads.find()
    before = uploads.whole()

    slowly = {
        "MEDIA_ENRICHER_REPAIRS_PER_SECOND": "20",
        "MEDIA_ENRICHER_SNAPSHOT": str(place),
    }
    process = start_flow(slowly, flow="repair-types", bucket=uploads.bucket.name)
    wait_for(lambda: len(uploads.audited()) >= 5, "nothing is repaired")
    process.process.send_signal(signal.SIGINT)
    exit_code, said = process.result()
    assert exit_code == 130, said
    assert said["message"].startswith("Cancelled: ")
    cancelled = uploads.audited()
    assert {outcome for _, outcome in cancelled} == {"repaired"}  # those under way ended in order
    assert len(cancelled) < count

    process = start_flow(slowly, flow="repair-types", bucket=uploads.bucket.name)
    wait_for(lambda: len(uploads.audited()) >= len(cancelled) + 5, "nothing more is repaired")
    process.kill()
    assert len(uploads.audited()) < count

    state = repaired(uploads)
    assert state.type is StateType.COMPLETED, state.message
    assert uploads.whole() == before
    assert set(uploads.served().values()) == {"image/jpeg"}
    done = [path for path, outcome in uploads.audited() if outcome == "repaired"]
    assert sorted(done) == sorted(before)  # each once
    assert sorted(in_parts(place)) == sorted(path for path, _ in uploads.audited())
