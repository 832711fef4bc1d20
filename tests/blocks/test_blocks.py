"""The blocks, with a real Prefect server and a real project."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect import flow, get_client, task
from prefect._internal.result_records import ResultRecord, ResultRecordMetadata
from prefect.serializers import JSONSerializer, PickleSerializer
from pydantic import ValidationError
from supabase import Client, create_client

from media_enricher.blocks import (
    RefusedRecordError,
    ResultBucketError,
    SupabaseBucket,
    SupabaseCredentials,
)
from supabase_local import LocalStack
from tests.prefect_here import prefect_environment

RECORD = ResultRecord(
    result="found", metadata=ResultRecordMetadata(serializer=JSONSerializer())
).serialize()


@pytest.fixture
def credentials(migrated_stack: LocalStack) -> SupabaseCredentials:
    return SupabaseCredentials.model_validate(
        {
            "url": migrated_stack.url,
            "service_key": migrated_stack.service_key,
            "anon_key": migrated_stack.anon_key,
        }
    )


@pytest.fixture
def results(credentials: SupabaseCredentials) -> SupabaseBucket:
    """A block with a bucket of its own."""
    block = SupabaseBucket(
        credentials=credentials, bucket=f"results-{uuid4().hex[:8]}", folder="/tasks/"
    )
    assert block.create()
    return block


@pytest.fixture
def saved(prefect_server: None, results: SupabaseBucket) -> SupabaseBucket:
    """The same, registered: credentials in a document of their own, as `setup` makes them."""
    results.credentials.save(results.bucket)
    results.save(results.bucket)
    loaded = SupabaseBucket.load(results.bucket)
    assert isinstance(loaded, SupabaseBucket)
    return loaded


def test_credentials_give_a_client_whatever_the_environment_says(
    credentials: SupabaseCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", "http://another.project")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_of_another_project")
    client = credentials.get_client()
    assert str(client.supabase_url).rstrip("/") == credentials.url
    assert client.table("media_assets").select("path").limit(1).execute().data is not None


def test_a_url_that_is_none_is_told() -> None:
    with pytest.raises(ValidationError, match="must start with http"):
        SupabaseCredentials.model_validate({"url": "abc.supabase.co", "service_key": "x"})


def test_the_keys_are_shown_by_nothing(saved: SupabaseBucket, migrated_stack: LocalStack) -> None:
    with get_client(sync_client=True) as client:
        answers = [
            client.read_block_document_by_name(saved.bucket, slug, include_secrets=False)
            for slug in ("supabase-bucket", "supabase-credentials")
        ]
    shown = [
        repr(saved),
        str(saved),
        saved.model_dump_json(),
        *(answer.model_dump_json() for answer in answers),
    ]
    for text in shown:
        assert migrated_stack.service_key not in text
        assert migrated_stack.anon_key not in text
    assert answers[1].data["url"] == migrated_stack.url
    assert saved.credentials.service_key.get_secret_value() == migrated_stack.service_key


def test_prefect_finds_the_blocks_by_itself_and_that_costs_next_to_nothing(
    saved: SupabaseBucket,
) -> None:
    """In a process that knows only of Prefect, and that loads no client until it needs one."""
    program = (
        "import sys; from prefect.blocks.core import Block;"
        f" block = Block.load('supabase-bucket/{saved.bucket}');"
        " assert 'supabase' not in sys.modules, 'the client is imported too early';"
        " assert 'media_enricher.supabase.bucket' not in sys.modules;"
        " print(type(block).__name__, block.folder)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=prefect_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "SupabaseBucket tasks\n", done.stderr


def test_create_makes_a_private_bucket_once(results: SupabaseBucket, http: httpx.Client) -> None:
    assert not results.create()
    assert http.get(f"/bucket/{results.bucket}").json()["public"] is False


def test_a_public_bucket_is_refused(results: SupabaseBucket, http: httpx.Client) -> None:
    http.put(f"/bucket/{results.bucket}", json={"public": True}).raise_for_status()
    with pytest.raises(ResultBucketError, match="is public"):
        results.create()


def test_what_is_written_is_read_also_by_asynchronous_code(results: SupabaseBucket) -> None:
    assert results.write_path("one", RECORD) == "tasks/one"
    assert results.read_path("one") == RECORD

    async def there_and_back() -> bytes:
        await results.write_path("two", RECORD)  # type: ignore[misc]
        return await results.aread_path("two")

    assert asyncio.run(there_and_back()) == RECORD
    assert results.get_bucket().list() == ["tasks/one", "tasks/two"]


def test_what_is_not_there_is_not_found(results: SupabaseBucket) -> None:
    with pytest.raises(FileNotFoundError, match="tasks/missing"):
        results.read_path("missing")


@pytest.mark.parametrize("path", ["../elsewhere", "a/../../b", "."])
def test_no_path_leads_out_of_the_folder(results: SupabaseBucket, path: str) -> None:
    with pytest.raises(ValueError, match="must not contain"):
        results.write_path(path, RECORD)


def test_a_file_that_is_no_result_goes_into_the_bucket_itself(results: SupabaseBucket) -> None:
    with pytest.raises(RefusedRecordError, match="not a record"):
        results.write_path("part.parquet", b"PAR1")
    results.get_bucket().upload("part.parquet", b"PAR1", "application/vnd.apache.parquet")
    assert results.get_bucket().download("part.parquet") == b"PAR1"


def test_tasks_of_either_kind_are_cached_in_json_alone(saved: SupabaseBucket) -> None:
    ran: list[str] = []

    def options(serializer: str) -> dict[str, Any]:
        return {
            "persist_result": True,
            "result_storage": saved,
            "result_serializer": serializer,
            "cache_key_fn": lambda context, parameters: f"{context.task.name}-{serializer}",
            "cache_result_in_memory": False,
        }

    @task(**options("json"))
    def plain() -> dict[str, int]:
        ran.append("plain")
        return {"found": 1}

    @task(**options("json"))
    async def asynchronous() -> dict[str, int]:
        ran.append("asynchronous")
        return {"found": 2}

    @task(**options("pickle"))
    def pickling() -> int:
        ran.append("pickling")
        return 3

    @flow
    def calls() -> list[Any]:
        return [plain(), pickling()]

    @flow
    async def async_calls() -> Any:
        return await asynchronous()

    for _ in range(2):
        assert calls() == [{"found": 1}, 3]
        assert asyncio.run(async_calls()) == {"found": 2}
    assert sorted(ran) == ["asynchronous", "pickling", "pickling", "plain"]
    assert saved.get_bucket().list() == ["tasks/asynchronous-json", "tasks/plain-json"]


@pytest.mark.parametrize("name", [None, "ada"])
def test_no_client_role_reads_writes_or_deletes_results(
    results: SupabaseBucket, migrated_stack: LocalStack, name: str | None
) -> None:
    results.write_path("one", RECORD)
    frontend: Client = create_client(migrated_stack.url, migrated_stack.anon_key)
    if name:
        user = getattr(migrated_stack.users, name)
        frontend.auth.sign_in_with_password({"email": user.email, "password": user.password})
    bucket = frontend.storage.from_(results.bucket)
    refused: list[Callable[[], object]] = [
        lambda: bucket.download("tasks/one"),
        lambda: bucket.create_signed_url("tasks/one", 60),
        lambda: bucket.upload("tasks/two", RECORD),
        lambda: bucket.upload("tasks/one", RECORD, {"upsert": "true"}),
        lambda: bucket.move("tasks/one", "tasks/two"),
    ]
    for attempt in refused:
        with pytest.raises(Exception, match=r"not_found|row-level security|Object not found"):
            attempt()
    assert bucket.list("tasks") == []
    assert bucket.remove(["tasks/one"]) == []
    assert results.read_path("one") == RECORD


def test_a_sweep_deletes_what_was_written_too_long_ago_and_nothing_else(
    results: SupabaseBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("media_enricher.blocks.bucket._SWEEP_PAGE", 2)
    for number in range(5):
        results.write_path(f"old-{number}", RECORD)
    results.get_bucket().upload("elsewhere/old", b"", "text/plain")
    results.get_bucket().upload("tasks/below/old", b"", "text/plain")
    boundary = max(results.get_bucket().oldest("tasks", 100).values())
    results.write_path("new", RECORD)
    results.write_path("old-2", RECORD)  # anew

    def age() -> timedelta:
        return datetime.now(UTC) - boundary - timedelta(microseconds=1)

    assert results.sweep(age()) == 4
    assert results.sweep(age()) == 0
    left = ["elsewhere/old", "tasks/below/old", "tasks/new", "tasks/old-2"]
    assert results.get_bucket().list() == left


def test_a_sweep_is_bounded(results: SupabaseBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media_enricher.blocks.bucket._SWEEP_PAGE", 2)
    monkeypatch.setattr("media_enricher.blocks.bucket._SWEEP_PAGES", 2)
    for number in range(5):
        results.write_path(f"old-{number}", RECORD)
    assert results.sweep(timedelta(0)) == 4
    assert results.sweep(timedelta(0)) == 1


def test_a_pickle_is_refused_with_what_to_do(results: SupabaseBucket) -> None:
    metadata = ResultRecordMetadata(serializer=PickleSerializer())
    record = ResultRecord(result=1, metadata=metadata).serialize()
    with pytest.raises(RefusedRecordError, match="result_serializer='json'"):
        results.write_path("one", record)
