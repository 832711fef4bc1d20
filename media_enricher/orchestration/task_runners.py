"""The task runner that the settings name. A new kind is one more entry here; no flow changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from media_enricher.settings import Settings, SettingsError, TaskRunnerName, settings
from process_control.processes import follow_parent

LOOPBACK = "127.0.0.1"


def _threads(configured: Settings) -> TaskRunner[Any]:
    # A thread only waits until the engine workers have processed its batch.
    return ThreadPoolTaskRunner(max_workers=configured.batches_in_flight)


def _processes(configured: Settings) -> TaskRunner[Any]:
    return ProcessPoolTaskRunner(max_workers=configured.engine_workers, initializer=follow_parent)


def _dask(configured: Settings) -> TaskRunner[Any]:
    import dask  # noqa: PLC0415 - slow, and an extra
    from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 - the same

    if configured.dask_address:
        return DaskTaskRunner(address=configured.dask_address)
    # An idle worker would take over rests of batches, and read again what another is reading.
    dask.config.set({"distributed.scheduler.work-stealing": False})
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": configured.engine_workers,
            "threads_per_worker": 2,  # one returns a batch, the other has the next
            "dashboard_address": f"{LOOPBACK}:0",  # the default is reachable from other machines
        }
    )


def _ray(configured: Settings) -> TaskRunner[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    from prefect_ray.task_runners import RayTaskRunner  # noqa: PLC0415 - slow, and an extra

    here = {"num_cpus": configured.engine_workers, "include_dashboard": False}
    runner: TaskRunner[Any] = RayTaskRunner(
        address=configured.ray_address, init_kwargs=None if configured.ray_address else here
    )
    return runner


_RUNNERS: dict[TaskRunnerName, Callable[[Settings], TaskRunner[Any]]] = {
    TaskRunnerName.THREADS: _threads,
    TaskRunnerName.PROCESSES: _processes,
    TaskRunnerName.DASK: _dask,
    TaskRunnerName.RAY: _ray,
}


def task_runner() -> TaskRunner[Any]:
    """The runner for the mapped `enrich` task runs, by `MEDIA_ENRICHER_TASK_RUNNER`.

    Raises:
        SettingsError: a setting is invalid, or the runner is not installed.
    """
    configured = settings()
    name = configured.task_runner
    try:
        return _RUNNERS[name](configured)
    except ModuleNotFoundError as missing:
        raise SettingsError(
            f"MEDIA_ENRICHER_TASK_RUNNER = {name.value!r} needs {missing.name}, which is not "
            f"installed. In the checkout: pip install --editable '.[{name.value}]'"
        ) from None
