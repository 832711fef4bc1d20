"""What a request may hold: one model for each, for its checks and for the OpenAPI document.

The fields of requests to start runs come in the query or in a JSON body: see `request_fields`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from media_enricher.models import AssetStatus, Depth, Kind, Mode, RunStatus
from media_enricher.parameters import BucketName, Limit, MaxBytes, Path, Prefix


class ColorName(StrEnum):
    """What `media_color_name` in `sql/schemas/88_searching.sql` calls colours."""

    BLACK = "black"
    WHITE = "white"
    GRAY = "gray"
    BROWN = "brown"
    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    CYAN = "cyan"
    BLUE = "blue"
    PURPLE = "purple"
    PINK = "pink"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SweepRequest(_Request):
    """`POST /cron`: with a bucket, a sweep of what is missing; without, a health report."""

    bucket: BucketName | None = Field(
        default=None, description="The Storage bucket. Without it, the answer is a health report."
    )
    prefix: Prefix = Field(default="", description="Only objects whose path starts with this.")
    limit: Limit | None = Field(default=None, description="The most objects to process.")
    depth: Depth = Field(
        default=Depth.FULL,
        description="`header` reads the start of each object, `full` all of it.",
    )


class BackfillRequest(_Request):
    """`POST /backfill`: a run over a bucket."""

    bucket: BucketName = Field(description="The Storage bucket.")
    prefix: Prefix = Field(default="", description="Only objects whose path starts with this.")
    limit: Limit | None = Field(default=None, description="The most objects to process.")
    mode: Mode = Field(default=Mode.MISSING, description="Which objects to process.")
    depth: Depth = Field(
        default=Depth.FULL,
        description="`header` reads the start of each object, `full` all of it.",
    )
    max_bytes: MaxBytes | None = Field(
        default=None,
        description="The most bytes to read from Storage. A later run with mode `missing` goes on "
        "from there.",
    )
    dry_run: bool = Field(
        default=False,
        description="Say what a run would process, read and take. Start none.",
    )


class ObjectRequest(_Request):
    """`POST /enrich`: one object, enriched again even if it is up to date."""

    bucket: BucketName = Field(description="The Storage bucket.")
    path: Path = Field(description="The object's path in the bucket.")


class RunsQuery(_Request):
    """`GET /runs`: which runs to list."""

    limit: int = Field(default=20, ge=1, le=100, description="How many, the newest first.")
    bucket: BucketName | None = Field(default=None, description="Only those over this bucket.")
    status: RunStatus | None = Field(default=None, description="Only those with this status.")


class AssetsQuery(_Request):
    """`GET /runs/ID/assets`: which of a run's assets to list."""

    after: str = Field(
        default="", max_length=1024, description="The `next` of the page before this one."
    )
    limit: int = Field(default=24, ge=1, le=100, description="How many, in the order of paths.")
    status: AssetStatus | None = Field(default=None, description="Only those that ended so.")


class AssetSearch(_Request):
    """`GET /assets`: which assets to find. Every filter narrows; one that is left out does not."""

    bucket: BucketName | None = Field(default=None, description="Only those in this bucket.")
    words: str | None = Field(
        default=None,
        max_length=200,
        description="Beginnings of words in the path, the title or the tags. All must match.",
    )
    kind: Kind | None = None
    status: AssetStatus | None = Field(default=None, description="Only those that ended so.")
    label: str | None = Field(default=None, max_length=100, description="Only those with it.")
    warning: str | None = Field(default=None, max_length=100, description="Only those with it.")
    color: ColorName | None = Field(default=None, description="The name of the dominant colour.")
    is_located: bool | None = Field(
        default=None, description="Whether the file says where it was taken."
    )
    lacks_alt_text: bool | None = Field(
        default=None, description="true: enriched images without an alternative text."
    )
    is_copied: bool | None = Field(
        default=None,
        description="true: those whose bytes are there more than once in the bucket, copies "
        "together.",
    )
    after: UUID | None = Field(default=None, description="The `next` of the page before this one.")
    limit: int = Field(default=24, ge=1, le=100, description="How many, by bucket and path.")

    def filters(self) -> dict[str, Any]:
        """The arguments of `media_search`."""
        given = self.model_dump(mode="json", exclude={"limit"})
        return given | {"max_results": self.limit}


class MissingQuery(_Request):
    """`GET /missing`: which objects to list that a run in mode missing would work on."""

    bucket: BucketName = Field(description="The Storage bucket.")
    after: str = Field(
        default="", max_length=1024, description="The `next` of the page before this one."
    )
    limit: int = Field(default=24, ge=1, le=100, description="How many, in the order of paths.")


class ObjectRecord(BaseModel):
    """The columns of a row of `storage.objects` that are read."""

    bucket_id: BucketName
    name: Path


class ObjectChange(BaseModel):
    """`POST /enrich`: the payload of a Supabase database webhook on `storage.objects`."""

    type: Literal["INSERT", "UPDATE", "DELETE"]
    table: Literal["objects"]
    # Named by the contract's payload; pydantic's own `schema` is deprecated.
    schema_: Literal["storage"] = Field(alias="schema")
    record: ObjectRecord | None = None
    old_record: ObjectRecord | None = None

    def objects(self) -> list[ObjectRecord]:
        """The objects of the change, without duplicates: the new row and the old one."""
        found = (self.record, self.old_record)
        return list({(each.bucket_id, each.name): each for each in found if each}.values())

    def buckets(self) -> str:
        """The buckets of these objects, to be named in a sentence."""
        return ", ".join(sorted({each.bucket_id for each in self.objects()})) or "none"
