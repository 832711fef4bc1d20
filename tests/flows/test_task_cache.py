"""The task cache in a Storage bucket: it outlives a machine, and nothing forged is read from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from prefect import get_client
from prefect._internal.result_records import ResultRecord, ResultRecordMetadata
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.filesystems import LocalFileSystem
from prefect.serializers import JSONSerializer, PickleSerializer

from flows.backfill import backfill
from media_enricher import batching
from media_enricher.blocks import SupabaseBucket, SupabaseCredentials
from media_enricher.blocks.records import seal, signing_key
from media_enricher.models import Depth
from media_enricher.settings import settings, supabase_settings
from supabase_local import LocalStack
from tests.flows.conftest import FilledBucket, FlowProcess
from tests.waiting import wait_for

BATCH = 3


@pytest.fixture
def results(migrated_stack: LocalStack) -> SupabaseBucket:
    """A block for results with a bucket of its own, registered with the Prefect server."""
    name = f"results-{uuid4().hex[:8]}"
    credentials = SupabaseCredentials.model_validate(
        {"url": migrated_stack.url, "service_key": migrated_stack.service_key}
    )
    block = SupabaseBucket(credentials=credentials, bucket=name, folder="tasks")
    block.create()
    block.save(name)
    return block


@pytest.fixture
def cached(results: SupabaseBucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[SupabaseBucket]:
    """This process's runs keep their results in the block, in small batches."""
    small = batching.BatchLimits(objects=BATCH, size_bytes=2**62, cut_every=2**31)
    monkeypatch.setitem(batching.LIMITS, Depth.FULL, small)
    monkeypatch.setenv("MEDIA_ENRICHER_RESULT_STORAGE", setting(results))
    settings.cache_clear()
    yield results
    settings.cache_clear()


def setting(results: SupabaseBucket) -> str:
    return f"block:supabase-bucket/{results.bucket}"


def run(filled: FilledBucket) -> State[Any]:
    return cast("State[Any]", backfill(bucket=filled.name, return_state=True))


def read_without_writing(filled: FilledBucket) -> None:
    """All that is left of this run is the cache."""
    assert run(filled).is_completed()
    filled.query("delete from public.media_assets where bucket = $1", filled.name)
    filled.downloads()


def log_of(state: State[Any], until: Callable[[str], bool]) -> str:
    """The log of a run as Prefect's UI shows it, once it says enough."""
    run_id = cast("UUID", state.state_details.flow_run_id)
    of_the_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id]))
    with get_client(sync_client=True) as client:

        def log() -> str:
            return "\n".join(entry.message for entry in client.read_logs(of_the_run))

        return wait_for(lambda: said if until(said := log()) else "", log)


def test_what_one_machine_read_another_need_not_read_again(
    bucket: FilledBucket,
    results: SupabaseBucket,
    start_flow: Callable[..., FlowProcess],
    tmp_path: Path,
) -> None:
    """Threads write the cache, and processes, which load the block themselves, read it."""
    bucket.fill(60)
    bucket.block_writes()
    try:
        first = start_flow(
            {
                "MEDIA_ENRICHER_RESULT_STORAGE": setting(results),
                "PREFECT_HOME": str(tmp_path / "one"),
            },
            bucket=bucket.name,
        )
        assert first.result()[0] == 1
    finally:
        bucket.allow_writes()
    assert sum(bucket.downloads().values()) == 60
    assert bucket.rows() == {}

    second = start_flow(
        {
            "MEDIA_ENRICHER_RESULT_STORAGE": setting(results),
            "MEDIA_ENRICHER_TASK_RUNNER": "processes",
            "PREFECT_HOME": str(tmp_path / "another"),
        },
        bucket=bucket.name,
    )
    exit_code, last = second.result()
    assert exit_code == 0, last
    assert bucket.downloads() == {}
    assert len(bucket.rows()) == 60


class Exploding:
    """Whoever unpickles it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


def pickled(mark: Path) -> bytes:
    """A record that runs code in whoever reads it as Prefect does."""
    record: ResultRecord[Any] = ResultRecord(
        result=Exploding(mark), metadata=ResultRecordMetadata(serializer=PickleSerializer())
    )
    planted = record.serialize()
    ResultRecord.deserialize(planted)
    assert mark.exists()
    mark.unlink()
    return planted


def test_forged_results_are_not_used_but_read_anew(
    bucket: FilledBucket, cached: SupabaseBucket, tmp_path: Path
) -> None:
    bucket.fill(5 * BATCH)
    read_without_writing(bucket)
    mark = tmp_path / "executed"
    storage = cached.get_bucket()
    unsigned, altered, moved, planted, intact = storage.list()
    storage.upload(unsigned, storage.download(unsigned).partition(b"\n")[2], "text/plain")
    storage.upload(altered, storage.download(altered).replace(b"image", b"imagf"), "text/plain")
    storage.upload(moved, storage.download(intact), "text/plain")
    storage.upload(planted, pickled(mark), "text/plain")

    state = run(bucket)
    assert state.is_completed()
    assert not mark.exists()
    read_anew = bucket.downloads()
    assert len(read_anew) == 4 * BATCH
    assert set(read_anew.values()) == {1}
    assert len(bucket.rows()) == 5 * BATCH

    log = log_of(state, lambda log: log.count("refused") >= 4)
    for path, reason in (
        (unsigned, "it is not signed"),
        (altered, "its signature does not match"),
        (moved, "its signature does not match"),
        (planted, "it is not signed"),
    ):
        assert f"refused the stored result {path} in {cached.bucket}: {reason}" in log
    assert cached.credentials.service_key.get_secret_value() not in log
    for path in (unsigned, altered, moved, planted, intact):
        assert cached.read_path(path.removeprefix("tasks/")), "written anew, and signed"


@pytest.fixture(params=["a folder", "another maker's block"])
def folder(
    cached: SupabaseBucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Path]:
    """This process's runs keep their results in a folder that is still to be made.

    It is ours, or that of a block of Prefect's own.
    """
    place = tmp_path / "results"
    kept = str(place)
    if request.param != "a folder":
        LocalFileSystem(basepath=str(place)).save(cached.bucket)
        kept = f"block:local-file-system/{cached.bucket}"
    monkeypatch.setenv("MEDIA_ENRICHER_RESULT_STORAGE", kept)
    settings.cache_clear()
    yield place
    settings.cache_clear()


def test_forged_results_in_a_folder_are_a_miss_and_run_nothing(
    bucket: FilledBucket, folder: Path, tmp_path: Path
) -> None:
    bucket.fill(8 * BATCH)
    read_without_writing(bucket)
    mark = tmp_path / "executed"
    files = sorted(folder.iterdir())
    unsigned, altered, moved, planted, empty, no_file, other, intact = files
    unsigned.write_bytes(unsigned.read_bytes().partition(b"\n")[2])
    altered.write_bytes(altered.read_bytes().replace(b"image", b"imagf"))
    moved.write_bytes(intact.read_bytes())
    planted.write_bytes(pickled(mark))
    empty.write_bytes(b"")
    no_file.unlink()
    no_file.mkdir()
    other.write_bytes(signed(other.name, "what an older version kept"))

    state = run(bucket)
    assert state.is_completed()
    assert not mark.exists()
    read_anew = bucket.downloads()
    assert len(read_anew) == 7 * BATCH
    assert set(read_anew.values()) == {1}
    assert len(bucket.rows()) == 8 * BATCH
    # What a block says of a directory is what it says where there is nothing.
    refused = 6
    log = log_of(state, lambda log: log.count("cannot use the stored result") >= refused)
    assert f"cannot use the stored result {planted.name}: it is not signed" in log


@pytest.mark.parametrize("folder", ["a folder"], indirect=True)
def test_a_signed_result_of_another_batch_is_enriched_again_and_replaced(
    bucket: FilledBucket, folder: Path
) -> None:
    bucket.fill(4 * BATCH)
    read_without_writing(bucket)
    empty, foreign, partly, intact = sorted(folder.iterdir())
    looked = {file: looked_in(file) for file in (partly, intact)}
    empty.write_bytes(signed(empty.name, json.dumps({"done": [], "failed": [], "rounds": 0})))
    foreign.write_bytes(signed(foreign.name, json.dumps(looked[intact])))
    mixed = {**looked[partly], "done": looked[partly]["done"][:-1] + looked[intact]["done"][:1]}
    partly.write_bytes(signed(partly.name, json.dumps(mixed)))

    state = run(bucket)
    assert state.is_completed()
    read_anew = bucket.downloads()
    assert len(read_anew) == 3 * BATCH
    assert set(read_anew.values()) == {1}
    assert len(bucket.rows()) == 4 * BATCH
    sentence = "cannot use the stored result of batch"
    log = log_of(state, lambda log: log.count(sentence) >= 3)
    assert "it holds no outcomes. Its objects are enriched again." in log
    assert log.count("is not in the batch") == 2

    bucket.query("delete from public.media_assets where bucket = $1", bucket.name)
    assert run(bucket).is_completed()
    assert bucket.downloads() == {}, "the results were replaced"


def looked_in(file: Path) -> dict[str, Any]:
    """The result that a signed file holds: JSON in a record's JSON, under a line of signature."""
    record = json.loads(file.read_bytes().partition(b"\n")[2])
    looked: dict[str, Any] = json.loads(json.loads(record["result"]))
    return looked


def signed(key: str, result: object) -> bytes:
    """A record under a good signature, whatever its result is."""
    metadata = ResultRecordMetadata(serializer=JSONSerializer(), storage_key=key)
    record: ResultRecord[Any] = ResultRecord(result=result, metadata=metadata)
    secret = supabase_settings().service_key.get_secret_value()
    return seal(record.serialize(), f"task cache/{key}", signing_key(secret))


def test_a_cache_that_cannot_be_written_costs_no_run(
    bucket: FilledBucket, cached: SupabaseBucket, http: httpx.Client
) -> None:
    bucket.fill(2 * BATCH)
    only_images = {"public": False, "allowed_mime_types": ["image/png"]}
    http.put(f"/bucket/{cached.bucket}", json=only_images).raise_for_status()
    assert run(bucket).is_completed()
    assert len(bucket.rows()) == 2 * BATCH
    assert cached.get_bucket().list() == []


def test_a_place_that_may_not_keep_results_fails_the_run_before_it_reads(
    bucket: FilledBucket,
    cached: SupabaseBucket,
    http: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket.fill(1)
    http.put(f"/bucket/{cached.bucket}", json={"public": True}).raise_for_status()
    state = run(bucket)
    assert state.is_failed()
    assert f"the bucket '{cached.bucket}' is public" in (state.message or "")
    http.delete(f"/bucket/{cached.bucket}").raise_for_status()
    state = run(bucket)
    assert state.is_failed()
    assert "run `media-enricher setup`" in (state.message or "")
    monkeypatch.setenv("MEDIA_ENRICHER_RESULT_STORAGE", "block:supabase-bucket/nowhere")
    settings.cache_clear()
    state = run(bucket)
    assert state.is_failed()
    assert "Unable to find block document named nowhere" in (state.message or "")
    assert bucket.downloads() == {}


@pytest.mark.parametrize("place", ["a folder", "a block"])
def test_a_run_sweeps_results_that_are_too_old(
    bucket: FilledBucket,
    cached: SupabaseBucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    if place == "a folder":
        monkeypatch.setenv("MEDIA_ENRICHER_RESULT_STORAGE", str(tmp_path))
        settings.cache_clear()

    def kept() -> int:
        in_folder = len(list(tmp_path.iterdir()))
        return in_folder if place == "a folder" else len(cached.get_bucket().list())

    bucket.fill(2 * BATCH)
    run(bucket)
    run(bucket)
    assert kept() == 2
    monkeypatch.setenv("MEDIA_ENRICHER_CACHE_DAYS", "1e-9")
    settings.cache_clear()
    state = run(bucket)
    assert kept() == 0
    log_of(state, lambda log: "deleted 2 expired results" in log)
