"""How runs work, wherever they are started."""

from __future__ import annotations

import os
from enum import StrEnum

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from media_enricher.models import FlowName
from media_enricher.settings.reading import FromEnvironment
from media_enricher.settings.values import CommaSeparated, Deployment

SILENT_HEARTBEATS = 6
"""After so many missed heartbeats in a row, a run counts as dead."""

DEFAULT_EXIF_TAGS = (
    "Make",
    "Model",
    "LensMake",
    "LensModel",
    "Software",
    "DateTimeOriginal",
    "OffsetTimeOriginal",
    "ExposureTime",
    "FNumber",
    "ISOSpeedRatings",
    "FocalLength",
    "FocalLengthIn35mmFilm",
    "ExposureBiasValue",
    "ExposureProgram",
    "MeteringMode",
    "Flash",
    "WhiteBalance",
    "ColorSpace",
)


class TaskRunnerName(StrEnum):
    """What runs the mapped `enrich` tasks."""

    THREADS = "threads"
    PROCESSES = "processes"
    DASK = "dask"
    RAY = "ray"


class Settings(FromEnvironment):
    """How runs work. Every setting has a default; docs/reference/settings.md lists them."""

    model_config = SettingsConfigDict(env_prefix="MEDIA_ENRICHER_")

    task_runner: TaskRunnerName = Field(
        default=TaskRunnerName.THREADS,
        description="Where batches are processed: `threads` or `processes` of one machine, or a "
        "`dask` or `ray` cluster.",
    )
    dask_address: str | None = Field(
        default=None,
        description="The address of the Dask scheduler, for example `tcp://scheduler:8786`. "
        "Default: a temporary cluster of processes on the run's machine.",
    )
    ray_address: str | None = Field(
        default=None,
        description="The address of the Ray cluster, for example `ray://head:10001`. Default: a "
        "temporary one on the run's machine.",
    )
    engine_workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=256,
        validation_alias=AliasChoices("MEDIA_ENRICHER_ENGINE_WORKERS", "MEDIA_ENRICHER_LANES"),
        description="The number of processes that download, each with a decoder process beside it. "
        "Default: the number of processors.",
    )
    downloads_per_engine_worker: int = Field(
        default=512,
        ge=1,
        le=512,
        validation_alias=AliasChoices(
            "MEDIA_ENRICHER_DOWNLOADS_PER_ENGINE_WORKER", "MEDIA_ENRICHER_DOWNLOADS_PER_LANE"
        ),
        description="The maximum number of concurrent downloads per engine worker. Each finds by "
        "itself how many are needed, by how fast Storage answers: few where it is near, hundreds "
        "where it is far.",
    )
    memory_mb: int = Field(
        default=256,
        ge=16,
        description="The memory for downloaded objects, of all engine workers together, in MiB.",
    )
    request_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long to wait for data while Supabase responds, in seconds.",
    )
    retries: int = Field(
        default=3, ge=0, le=10, description="How often a run retries a temporary failure."
    )
    retry_delay_seconds: float = Field(
        default=1.0,
        ge=0,
        description="The delay before the first retry, in seconds. Each "
        "further delay is twice as long.",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="The number of runs that try an object with a temporary failure. After that, "
        "only mode `failed` or `all` tries it again.",
    )
    max_pixels: int = Field(
        default=100_000_000,
        ge=1,
        description=(
            "Images with more pixels are not decoded. Regardless of this limit, images that would "
            "need more than 360 MB of memory are not decoded."
        ),
    )
    max_whole_mb: int = Field(
        default=256,
        ge=1,
        description="Objects above this size, in MiB, are never read whole: `full` depth reads up "
        "to 15 MiB of them, `sha256` stays null, and `warnings` has `not-read-whole`.",
    )
    max_mbit_per_second: float | None = Field(
        default=None,
        gt=0,
        description="The maximum rate of a run's downloads, all its engine workers together, in "
        "megabits (1,000,000 bits) per second. Each shard of a sharded run has this rate. With a "
        "task runner other than `threads`, each engine worker has an equal share of it. "
        "Default: no maximum.",
    )
    suggest_header_above_gb: float = Field(
        default=50.0,
        ge=0,
        description="A dry run at depth `full` suggests depth `header` first if it would read more "
        "than so many gigabytes (1,000,000,000 bytes).",
    )
    failure_threshold: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="A run ends as failed if a larger share of the processed objects failed.",
    )
    failure_threshold_minimum: int = Field(
        default=10,
        ge=1,
        description="A run with fewer failed objects than this never ends as failed.",
    )
    heartbeat_seconds: float = Field(
        default=10.0,
        gt=0,
        description="The interval in seconds at which a run updates `heartbeat_at`.",
    )
    silence_seconds: float = Field(
        default=60.0,
        gt=0,
        description="A run counts as dead after so many seconds without a heartbeat, but not "
        "before six heartbeats are missing.",
    )
    buckets: CommaSeparated = Field(
        default=(),
        description="The buckets that sweeps, the change feed and webhooks process, separated by "
        "commas. Default: sweeps and the change feed process none, webhooks all except those for "
        "results and snapshots.",
    )
    backfill_deployment: Deployment = Field(
        default="backfill/backfill",
        description="The Prefect deployment that processes a bucket, as `FLOW/DEPLOYMENT`.",
    )
    object_deployment: Deployment = Field(
        default="enrich-object/enrich-object",
        description="The Prefect deployment that processes single objects, as `FLOW/DEPLOYMENT`.",
    )
    keep_days: float = Field(
        default=90.0,
        gt=0,
        description="The audit log of requests to start runs, and other records of them, are "
        "deleted after so many days.",
    )
    snapshot: str = Field(
        default="bucket:media-enricher-snapshots",
        description="Where snapshots are written: `bucket:NAME`, or a folder.",
    )
    result_storage: str | None = Field(
        default=None,
        description="Where the task cache is stored: a folder, or a Prefect block such as "
        "`block:supabase-bucket/media-enricher-results`. Default: the folder `media-enricher` in "
        "Prefect's local storage.",
    )
    repairs_per_second: float = Field(
        default=20.0,
        gt=0,
        description="The maximum number of objects per second whose content type `repair-types` "
        "puts right.",
    )
    cache_days: float = Field(
        default=7.0, gt=0, description="Cached results are deleted after so many days."
    )
    location: bool = Field(
        default=False, description="Store latitude and longitude. Off by default, for privacy."
    )
    text_excerpt: bool = Field(
        default=False,
        description="Store the first 64 KB of a document's text. Off by default, for privacy.",
    )
    exif_tags: CommaSeparated = Field(
        default=DEFAULT_EXIF_TAGS,
        description="The EXIF tags that are stored in `exif`, separated by commas.",
    )

    @property
    def max_whole_bytes(self) -> int:
        """Of objects above this size, only parts are read."""
        return self.max_whole_mb * 1024 * 1024

    @property
    def max_bytes_per_second(self) -> float | None:
        """The maximum rate of a run's downloads; None for none."""
        return None if self.max_mbit_per_second is None else self.max_mbit_per_second * 1e6 / 8

    @property
    def is_in_cluster(self) -> bool:
        """Whether each engine worker is that of a worker process of a cluster."""
        return self.task_runner in (TaskRunnerName.DASK, TaskRunnerName.RAY)

    @property
    def batches_in_flight(self) -> int:
        """Batches in flight at once, so that no engine worker waits while results are written.

        All engine workers of one process share a batch; one of a cluster has it for itself.
        """
        return 2 * self.engine_workers + 2 if self.is_in_cluster else self.engine_workers + 2

    @property
    def dead_after_seconds(self) -> float:
        """After so many seconds without a heartbeat, a run counts as dead."""
        return max(self.silence_seconds, SILENT_HEARTBEATS * self.heartbeat_seconds)

    def deployment(self, flow: FlowName) -> str:
        """The Prefect deployment that runs a flow, as `FLOW/DEPLOYMENT`."""
        return {
            FlowName.BACKFILL: self.backfill_deployment,
            FlowName.ENRICH_OBJECT: self.object_deployment,
        }[flow]
