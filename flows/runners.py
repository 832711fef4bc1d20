"""The task runner that the settings name. A new kind is one more entry here; no flow changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from media_enricher.processes import follow_parent
from media_enricher.settings import Settings, TaskRunnerName, settings


def _threads(ours: Settings) -> TaskRunner[Any]:
    # A thread only waits for its batch to come back from the lanes.
    return ThreadPoolTaskRunner(max_workers=ours.batches_in_flight)


def _processes(ours: Settings) -> TaskRunner[Any]:
    return ProcessPoolTaskRunner(max_workers=ours.lanes, initializer=follow_parent)


_RUNNERS: dict[TaskRunnerName, Callable[[Settings], TaskRunner[Any]]] = {
    TaskRunnerName.THREADS: _threads,
    TaskRunnerName.PROCESSES: _processes,
}


def task_runner() -> TaskRunner[Any]:
    """The runner for the mapped `enrich` task runs, by `MEDIA_ENRICHER_TASK_RUNNER`.

    Raises:
        SettingsError: a setting is invalid.
    """
    ours = settings()
    return _RUNNERS[ours.task_runner](ours)
