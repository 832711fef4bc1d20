"""A process that records made-up outcomes as a run does, and kills itself at a step of that."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from media_enricher.models import (
    AssetStatus,
    Depth,
    ErrorCode,
    Kind,
    MediaAsset,
    Outcome,
    Selection,
    StorageObject,
)
from media_enricher.orchestration import resources
from media_enricher.orchestration.run import Run
from media_enricher.settings import settings, supabase_settings
from media_enricher.supabase.ledgers import SnapshotLedger

ROWS_AT_ONCE = 10


class Step(StrEnum):
    """Where a write can be cut short."""

    NOTHING_WRITTEN = "a part is open, its file is not begun"
    HALF_A_FILE = "the file has a temporary name"
    FILE_WRITTEN = "the file is there, its rows are not asked for"
    NOT_HEARD = "its rows are recorded, and the answer is lost"
    NAMELESS = "its rows are recorded, the file has not got its name"
    RECORDED = "its rows are recorded, and the file has its name"
    AT_RANDOM = "whenever"


class Death(NamedTuple):
    """When a writer is to die.

    Attributes:
        step: of a write.
        write: which of its writes, counted from 0.
        seconds: into it, if it is to happen at random.
    """

    step: Step
    write: int
    seconds: float = 0.0


def outcome_of(each: StorageObject) -> Outcome:
    """What is found of an object: its name says whether it is enriched."""
    status, code = AssetStatus.ENRICHED, None
    if "bad" in each.path:
        status, code = AssetStatus.FAILED, ErrorCode.CORRUPT
    if "odd" in each.path:
        status = AssetStatus.UNSUPPORTED
    found = {"status": status, "error_code": code, "kind": Kind.IMAGE, "width": 3, "height": 2}
    same = {"bucket", "path", "etag", "size_bytes", "declared_content_type"}
    known = {name: getattr(each, name) for name in same}
    asset = MediaAsset(**known, **found, depth=Depth.FULL, enricher_version=1)  # type: ignore[arg-type]
    return Outcome(asset=asset, bytes_read=7)


def record_pending(run: Run) -> None:
    """Record everything that is to be done under the run's prefix, some objects at a time."""
    pages = resources.asset_table().pending_pages(run.selection)
    pending = [each for page in pages for each in page]
    run.expect(len(pending))
    with run.recorder:
        for start in range(0, len(pending), ROWS_AT_ONCE):
            outcomes = [outcome_of(each) for each in pending[start : start + ROWS_AT_ONCE]]
            for part in run.recorder.record(outcomes):
                run.stats.add(part.outcomes, gone=part.gone, recorded=part.run)


def write_and_die(environment: dict[str, str], run_id: str, selection: bytes, death: Death) -> None:
    """Record what is pending, and die on the way."""
    os.environ.update(environment)
    settings.cache_clear()
    supabase_settings.cache_clear()
    run = Run(run_id, msgspec.json.decode(selection, type=Selection))
    _arm(run, death)
    record_pending(run)


def die() -> None:
    """As at the hands of the kernel: nothing of ours runs any more."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _arm(run: Run, death: Death) -> None:
    """Put the death in the way of the write."""
    writes = iter(range(1_000))
    real_write, real_record = run.snapshot.write, SnapshotLedger.record
    real_publish = run.snapshot.publish
    armed = [False]
    doomed: set[int] = set()  # a part gets its name while the next one is written

    def write(number: int, outcomes: Sequence[Outcome]) -> None:
        armed[0] = next(writes) == death.write
        if armed[0]:
            doomed.add(number)
        if armed[0] and death.step is Step.NOTHING_WRITTEN:
            die()
        if armed[0] and death.step is Step.AT_RANDOM:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends a process, like SIGKILL
            signal.setitimer(signal.ITIMER_REAL, death.seconds)
        real_write(number, outcomes)

    def fsync(_handle: int) -> None:
        if armed[0] and death.step is Step.HALF_A_FILE:
            die()

    def record(self: SnapshotLedger, *arguments: Any) -> Any:
        if armed[0] and death.step is Step.FILE_WRITTEN:
            die()
        answer = real_record(self, *arguments)
        if armed[0] and death.step is Step.NOT_HEARD:
            die()
        return answer

    def publish(number: int) -> None:
        if number in doomed and death.step is Step.NAMELESS:
            die()
        real_publish(number)
        if number in doomed and death.step is Step.RECORDED:
            die()

    run.snapshot.write = write  # type: ignore[method-assign]
    run.snapshot.publish = publish  # type: ignore[method-assign]
    os.fsync = fsync  # type: ignore[assignment]
    SnapshotLedger.record = record  # type: ignore[assignment,method-assign]
