"""Results in a folder or in another maker's block: what cannot be used is a miss and a warning."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.serializers import JSONSerializer

from media_enricher.blocks import records
from media_enricher.blocks.records import RefusedRecordError, signing_key
from media_enricher.orchestration import task_cache
from media_enricher.orchestration.signed_results import SignedResults
from media_enricher.settings import supabase_settings

SECRET = "sb_secret_of_a_project"
KEY = "0123456789abcdef" * 4
LOOKED: dict[str, Any] = {"done": [], "failed": [], "rounds": 0}


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SUPABASE_URL", "https://project.example")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", SECRET)
    supabase_settings.cache_clear()
    yield
    supabase_settings.cache_clear()


def record(**metadata: Any) -> bytes:
    """A record as Prefect writes it, whatever its metadata."""
    described = {"serializer": JSONSerializer().model_dump()} | metadata
    result = json.dumps(json.dumps(LOOKED))
    return json.dumps({"metadata": described, "result": result}).encode()


def signed(content: bytes, key: str = KEY) -> bytes:
    """Content under a good signature, whatever it is: made by someone who has the service key."""
    signature = records._signature(content, f"task cache/{key}", signing_key(SECRET))
    return records._MARK + signature + b"\n" + content


@pytest.fixture
def results(tmp_path: Path) -> SignedResults:
    """Results in a folder that is still to be made."""
    return SignedResults(folder=tmp_path / "results")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the one record is kept."""
    return tmp_path / "results" / KEY


def is_warned_of(caplog: pytest.LogCaptureFixture, reason: str) -> bool:
    return any(
        each.levelno == logging.WARNING and reason in each.getMessage() for each in caplog.records
    )


def test_what_is_written_is_read_by_whoever_has_the_key(results: SignedResults, file: Path) -> None:
    results._write(KEY, record())
    assert results._read(KEY) == record()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_kept_is_a_miss_without_a_word(
    results: SignedResults, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(FileNotFoundError):
        results._read(KEY)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (record(), "it is not signed"),
        (b"", "it is not signed"),
        (signed(record(), key="f" * 64), "altered, moved"),
        (signed(record())[:-1], "altered, moved"),
        (signed(record(serializer={"type": "nobody-knows-it"})), "its serializer is"),
        (signed(record(serializer={"type": "pickle"})), "its serializer is"),
        (signed(b'{"data": "an older form", "serializer": {"type": "json"}}'), "not a record"),
    ],
)
def test_what_is_not_ours_or_cannot_be_understood_is_refused_with_a_warning(
    results: SignedResults,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    content: bytes,
    reason: str,
) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(RefusedRecordError, match=reason):
        results._read(KEY)
    assert is_warned_of(caplog, reason)
    results._write(KEY, record())
    assert results._read(KEY) == record(), "it is replaced"


def test_a_file_that_may_not_be_read_is_refused_with_a_warning(
    results: SignedResults,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results._write(KEY, record())

    def refused(path: Path) -> bytes:  # whoever runs the tests may read everything
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refused)
        with pytest.raises(PermissionError):
            results._read(KEY)
    assert is_warned_of(caplog, f"Permission denied: '{file}'")


def test_a_folder_that_cannot_be_written_costs_a_warning(
    results: SignedResults, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.write_text("a file where the folder should be")
    results._write(KEY, record())
    assert is_warned_of(caplog, f"cannot keep the result {KEY} in {file.parent}")


@pytest.mark.parametrize("key", ["../elsewhere", "/etc/passwd", "..", ""])
def test_a_key_is_the_name_of_a_file(results: SignedResults, key: str) -> None:
    with pytest.raises(ValueError, match="the key of a result"):
        results._read(key)


def test_a_sweep_of_a_folder_deletes_old_files_of_ours_and_nothing_else(tmp_path: Path) -> None:
    partial, young = f"{KEY}.x7f2k", "f" * 64
    others = ["notes.txt", KEY[:-1], f"{KEY}0", KEY.upper().replace("0", "A"), f"copy-of-{KEY}"]
    for name in (KEY, partial, young, *others):
        (tmp_path / name).write_bytes(b"kept")
    (tmp_path / ("d" * 64)).mkdir()
    week = timedelta(days=7)
    for each in tmp_path.iterdir():
        if each.name != young:
            os.utime(each, (0, 0))

    assert task_cache._sweep_folder(tmp_path, week) == 2
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {young, "d" * 64, *others}
    assert task_cache._sweep_folder(tmp_path / "nowhere", week) == 0
