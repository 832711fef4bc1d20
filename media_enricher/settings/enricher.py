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
"""A run that misses so many heartbeats in a row may be dead."""

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
        description="Where tasks run: `threads` or `processes` of one machine, or a `dask` or "
        "`ray` cluster.",
    )
    dask_address: str | None = Field(
        default=None,
        description="The address of the Dask scheduler, as `tcp://scheduler:8786`. Default: each "
        "run starts a cluster of processes on its own machine, and ends it.",
    )
    ray_address: str | None = Field(
        default=None,
        description="The address of the Ray cluster, as `ray://head:10001`. Default: each run "
        "starts a cluster on its own machine, and ends it.",
    )
    engine_workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=256,
        validation_alias=AliasChoices("MEDIA_ENRICHER_ENGINE_WORKERS", "MEDIA_ENRICHER_LANES"),
        description="Processes that download, each with a decoder process beside it. Default: one "
        "per processor.",
    )
    downloads_per_engine_worker: int = Field(
        default=32,
        ge=1,
        le=512,
        validation_alias=AliasChoices(
            "MEDIA_ENRICHER_DOWNLOADS_PER_ENGINE_WORKER", "MEDIA_ENRICHER_DOWNLOADS_PER_LANE"
        ),
        description="The most downloads at once in an engine worker.",
    )
    memory_mb: int = Field(
        default=256,
        ge=16,
        description="Bytes of objects that all engine workers together hold in memory, in MiB.",
    )
    request_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="The longest wait for the next bytes of an answer of Supabase.",
    )
    retries: int = Field(
        default=3, ge=0, le=10, description="Retries of a transient failure within a run."
    )
    retry_delay_seconds: float = Field(
        default=1.0, ge=0, description="The delay before the first retry; it doubles from there."
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="The most runs that try an object whose failure is transient.",
    )
    max_pixels: int = Field(
        default=100_000_000,
        ge=1,
        description=(
            "Images with more pixels than this are not decoded. Nor are images that need more than "
            "360 MB of memory, whatever this setting says."
        ),
    )
    failure_threshold: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="A run ends failed if more than this share of its objects failed, of those "
        "looked at so far.",
    )
    failure_threshold_minimum: int = Field(
        default=10, ge=1, description="Fewer failures than this never fail a run."
    )
    heartbeat_seconds: float = Field(
        default=10.0, gt=0, description="How often a run stamps `heartbeat_at`."
    )
    silence_seconds: float = Field(
        default=60.0,
        gt=0,
        description="A run without a sign of life for this long counts as dead, but not before it "
        "missed six heartbeats.",
    )
    buckets: CommaSeparated = Field(
        default=(),
        description="The buckets that sweeps and webhooks keep up to date, separated by commas. "
        "Default: sweeps look at none; webhooks are taken from all but the buckets of results and "
        "snapshots.",
    )
    backfill_deployment: Deployment = Field(
        default="backfill/backfill",
        description="The Prefect deployment that works on a bucket, as `FLOW/DEPLOYMENT`.",
    )
    object_deployment: Deployment = Field(
        default="enrich-object/enrich-object",
        description="The Prefect deployment that works on single objects.",
    )
    keep_days: float = Field(
        default=90.0,
        gt=0,
        description="The audit of requests to start runs, and all else that is stored about them, "
        "is deleted after so many days.",
    )
    snapshot: str = Field(
        default="bucket:media-enricher-snapshots",
        description="Where snapshots are written: `bucket:NAME`, or a folder.",
    )
    result_storage: str | None = Field(
        default=None,
        description="Where the task cache is: a folder, or a Prefect block as "
        "`block:supabase-bucket/media-enricher-results`. Default: `media-enricher` under Prefect's "
        "own local storage.",
    )
    cache_days: float = Field(
        default=7.0, gt=0, description="Cached results older than this are deleted."
    )
    location: bool = Field(
        default=False, description="Whether latitude and longitude are stored (privacy)."
    )
    exif_tags: CommaSeparated = Field(
        default=DEFAULT_EXIF_TAGS,
        description="The EXIF tags stored in `exif`, separated by commas.",
    )

    @property
    def batches_in_flight(self) -> int:
        """Batches in work at once: enough that no engine worker waits while others are written."""
        return self.engine_workers + 2

    @property
    def dead_after_seconds(self) -> float:
        """A run without a sign of life for this long counts as dead."""
        return max(self.silence_seconds, SILENT_HEARTBEATS * self.heartbeat_seconds)

    def deployment(self, flow: FlowName) -> str:
        """The Prefect deployment that runs a flow, as `FLOW/DEPLOYMENT`."""
        return {
            FlowName.BACKFILL: self.backfill_deployment,
            FlowName.ENRICH_OBJECT: self.object_deployment,
        }[flow]
