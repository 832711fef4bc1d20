"""What the gateway answers: one model for each answer, for its JSON and the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from media_enricher.models import (
    AssetStatus,
    Depth,
    FlowName,
    Kind,
    Mode,
    RunStatus,
    StoppedBy,
    Trigger,
)


class ErrorResponse(BaseModel):
    """Any answer that is an error. Further members say more."""

    model_config = ConfigDict(extra="allow")

    error: str = Field(description="What went wrong, as a sentence for people.")
    code: str = Field(description="What went wrong, as a slug for programs.")


class RunStarted(BaseModel):
    """A run that was started, or that is under way already."""

    run_id: str
    status: RunStatus
    bucket: str
    prefix: str
    limit: int | None
    max_bytes: int | None = Field(
        default=None,
        description="The budget of the run, if it has one.",
        exclude_if=lambda value: value is None,
    )
    mode: Mode
    depth: Depth
    status_url: str = Field(description="Where to GET the run's progress.")
    already_running: bool = Field(
        default=False, description="The run was started by an earlier request, and covers this one."
    )
    asked_prefix: str | None = Field(
        default=None,
        description="The requested prefix, if the run covers a broader one.",
        exclude_if=lambda value: value is None,
    )


class HeaderSuggestion(BaseModel):
    """Depth `header` is suggested before `full`, and what it would cost."""

    depth: Literal[Depth.HEADER] = Depth.HEADER
    estimated_read_bytes: int
    estimated_seconds: float | None
    message: str = Field(description="The suggestion as a sentence for people.")


class DryRunCount(BaseModel):
    """A dry run: how much a run would process, and what it would cost."""

    dry_run: Literal[True] = True
    bucket: str
    prefix: str
    limit: int | None
    mode: Mode
    depth: Depth
    max_bytes: int | None = None
    objects: int = Field(description="Pending objects, up to `limit`.")
    size_bytes: int = Field(description="Of these objects, as they are stored.")
    estimated_read_bytes: int = Field(
        description="What the run would read from Storage (egress), up to `max_bytes`."
    )
    estimated_seconds: float | None = Field(
        description="By the pace of the last runs of this depth; null if there is none."
    )
    suggestion: HeaderSuggestion | None = Field(
        description="Set if `full` would read more than `MEDIA_ENRICHER_SUGGEST_HEADER_ABOVE_GB`."
    )


class ObjectAccepted(BaseModel):
    """An object that a run will look at."""

    run_id: str
    status: RunStatus
    bucket: str
    path: str
    status_url: str


class Ignored(BaseModel):
    """A change in Storage that is not followed."""

    status: Literal["ignored"] = "ignored"
    reason: str


class RunRecord(BaseModel):
    """A row of `media_enrich_runs`, and the run's speed.

    To a signed-in user who did not ask for the run, most of it is null.
    """

    id: str
    bucket: str | None = None
    prefix: str | None = None
    max_files: int | None = None
    max_bytes: int | None = None
    mode: Mode | None = None
    depth: Depth | None = None
    flow: FlowName | None = None
    trigger: Trigger | None = None
    requested_by: str | None = None
    tenant_id: str | None = None
    parent_run_id: str | None = Field(
        default=None, description="The sharded run that this one is a part of."
    )
    status: RunStatus
    total_files: int
    processed_files: int
    succeeded: int
    failed: int
    skipped: int
    bytes_read: int | None = None
    stopped_by: StoppedBy | None = Field(
        default=None,
        description="`max_bytes`: the budget had no room for objects that are still pending.",
    )
    snapshot_path: str | None = None
    error: str | None = None
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    objects_per_second: float | None = Field(description="Average since the start; null before it.")
    seconds_left: float | None = Field(description="Estimate at this speed; null if there is none.")
    prefect_url: str | None = None


class FailureReason(BaseModel):
    """Objects of a run that failed for one reason, with an example."""

    error_code: str
    objects: int
    path: str
    error_message: str | None


class RunDetails(RunRecord):
    """A run, and why some of its objects failed."""

    failures: list[FailureReason] = []


class Runs(BaseModel):
    """Runs, the newest first."""

    runs: list[RunRecord]


class Asset(BaseModel):
    """An object's metadata, and a signed URL of its picture."""

    path: str
    status: AssetStatus
    error_code: str | None = None
    error_message: str | None = None
    kind: Kind
    content_type: str | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    duration_seconds: float | None = None
    page_count: int | None = None
    page_width_points: float | None = None
    page_height_points: float | None = None
    size_bytes: int | None = None
    has_alpha: bool | None = None
    dominant_color: str | None = None
    palette: list[str] | None = None
    blurhash: str | None = None
    thumbhash: str | None = None
    taken_at: datetime | None = None
    taken_at_offset: int | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    title: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    labels: list[str] | None = None
    warnings: list[str] | None = None
    picture_url: str | None = Field(default=None, description="Signed; expires after some minutes.")
    preview_url: str | None = Field(
        default=None,
        description="A smaller picture, if the project has image transformation. Signed, too.",
    )

    @classmethod
    def columns(cls) -> list[str]:
        """The columns of `media_assets` that it shows."""
        return [name for name in cls.model_fields if name not in {"picture_url", "preview_url"}]


class Assets(BaseModel):
    """A page of the objects that a run processed, in the order of their paths."""

    assets: list[Asset]
    next: str | None = Field(description="The `after` of the next page; null at the end.")


class Total(BaseModel):
    """How many assets there are of a sort."""

    facet: str = Field(
        description="status, kind, label, warning; location, alt_text, copy; or pending."
    )
    value: str
    objects: int
    size_bytes: int
    counted_at: datetime | None = Field(description="Null where it is always exact.")


class BucketTotals(BaseModel):
    """A bucket, and what is known of its objects."""

    bucket: str
    is_public: bool
    totals: list[Total]


class Dashboard(BaseModel):
    """All buckets; for a tenant's admin, the tenant's share of each."""

    buckets: list[BucketTotals]


class FoundAsset(Asset):
    """An asset of any bucket, and a signed URL of its picture."""

    id: str
    bucket: str


class FoundAssets(BaseModel):
    """A page of a search, in the order of buckets and paths."""

    assets: list[FoundAsset]
    next: str | None = Field(description="The `after` of the next page; null at the end.")


class AssetRun(BaseModel):
    """A run that is known to have tried an asset, or may have."""

    id: str
    flow: FlowName
    mode: Mode
    status: RunStatus
    started_at: datetime | None
    finished_at: datetime | None
    is_last: bool = Field(description="It wrote the asset's row.")
    outcome: str | None = Field(
        description="How the object ended in it; null where only its snapshot says."
    )
    error_code: str | None


class AssetDetails(BaseModel):
    """All that is known of one asset."""

    asset: dict[str, Any] = Field(description="Its row of `media_assets`.")
    picture_url: str | None = Field(description="Signed; expires after some minutes.")
    preview_url: str | None = Field(
        description="A smaller picture, if the project has image transformation. Signed, too."
    )
    runs: list[AssetRun] = Field(description="The newest first, up to 20.")
    similar: list[FoundAsset] = Field(
        description="Those that look like it, the most similar first."
    )


class MissingObject(BaseModel):
    """An object that a run in mode missing would work on."""

    path: str
    size_bytes: int | None
    declared_content_type: str | None


class MissingObjects(BaseModel):
    """A page of them, in the order of their paths."""

    objects: list[MissingObject]
    next: str | None = Field(description="The `after` of the next page; null at the end.")


class SnapshotPart(BaseModel):
    """A Parquet file of a run's snapshot."""

    name: str
    url: str = Field(description="Signed; expires after some minutes.")


class Snapshot(BaseModel):
    """The audit snapshot of a run."""

    path: str | None = Field(description="`bucket:NAME/…`, or a folder; null before there is one.")
    parts: list[SnapshotPart]


class Buckets(BaseModel):
    """The buckets that can be enriched."""

    buckets: list[str]


class Me(BaseModel):
    """Who the caller is, and what they may do."""

    role: str
    user_id: str | None
    tenant_id: str | None
    may_trigger: bool
    may_see_all: bool = Field(description="Whether they see the runs of everyone.")


class Check(BaseModel):
    """One part of the health report."""

    status: Literal["ok", "unavailable"]
    detail: str


class Health(BaseModel):
    """Whether everything that a run needs is available."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, Check]


class Alive(BaseModel):
    """The gateway itself answers."""

    status: Literal["ok"] = "ok"
