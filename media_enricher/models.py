"""The records that the parts hand to each other: one definition each.

The upsert row of `public.media_assets` and the Arrow schema of the snapshot are derived from
these, so a field has the same name in SQL, Python, JSON and Parquet. Nothing here does any work.

The records are `msgspec.Struct`s: they encode to JSON in microseconds (a page crosses a pipe to
the decoding process and back), and Prefect, which walks into dataclasses and pydantic models when
a task is submitted, takes one for a leaf.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

ENRICHER_VERSION = 3
"""Raised by one whenever findings change for the same bytes: rows that an older version wrote are
what the mode `stale` selects, and cached results of it are no longer used."""


MOST_RANGE_BYTES = 15 * 1024 * 1024
"""The most that is read of an object in parts; with what a server sends too much, 16 MB."""


class Mode(StrEnum):
    """Which objects of a bucket a run works on."""

    MISSING = "missing"
    """No row yet, a changed etag, a row shallower than asked for, or a transient failure."""
    FAILED = "failed"
    """Every failed row, once more."""
    STALE = "stale"
    """Rows that an older version of the enricher wrote."""
    ALL = "all"
    """Every object."""


class Depth(StrEnum):
    """How much of an object is read."""

    HEADER = "header"
    """A bounded first range; pixels are never decoded."""
    FULL = "full"
    """The whole object, once."""


class Kind(StrEnum):
    """What sort of thing an object is, from its true content type."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    OTHER = "other"


class AssetStatus(StrEnum):
    """How enriching one object ended."""

    ENRICHED = "enriched"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


class RunStatus(StrEnum):
    """The state of a run, as `public.media_enrich_runs` shows it."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CRASHED = "crashed"


class Trigger(StrEnum):
    """What started a run."""

    MANUAL = "manual"
    SCHEDULE = "schedule"
    HTTP = "http"
    EVENT = "event"


class StoppedBy(StrEnum):
    """What kept a run from objects that are still pending: it was asked to, and is no failure."""

    MAX_BYTES = "max_bytes"
    """Its budget had no room for them."""


class FlowName(StrEnum):
    """The flow of a run: its name in Prefect."""

    BACKFILL = "backfill"
    """What a bucket leaves to do."""
    BACKFILL_SHARDED = "backfill-sharded"
    """The same, by several runs of `backfill` at once, each on a range of the paths."""
    ENRICH_OBJECT = "enrich-object"
    """The objects that somebody asked for, one by one."""


class ErrorCode(StrEnum):
    """Why an object has no metadata. Stored in `media_assets.error_code`."""

    # The bytes: permanent until the object changes.
    EMPTY = "empty"
    """The object has no bytes."""
    CORRUPT = "corrupt"
    """The type is known and the content breaks its rules."""
    TRUNCATED = "truncated"
    """The content ends before the file does."""
    MISLABELLED = "mislabelled"
    """Declared or named as an image, and no image at all (an HTML error page saved as .jpg)."""
    TOO_MANY_PIXELS = "too_many_pixels"
    """More than `MEDIA_ENRICHER_MAX_PIXELS` would have to be decoded, or decoding would take more
    than 360 MB: a decompression bomb, or a poster for a wall."""
    UNSUPPORTED_TYPE = "unsupported_type"
    """A type that has no probe yet. Goes with the status `unsupported`."""
    PROBE_CRASHED = "probe_crashed"
    """The decoder took its process down, alone and with nothing else in it."""

    # The answer of Storage: permanent until the object changes.
    NOT_FOUND = "not_found"
    """Storage has no such object."""
    BYTES_MISSING = "bytes_missing"
    """Storage lists the object and has lost its bytes, while others of its bucket can be read.
    Upload it again, or delete it. Once it is uploaded, the same bytes or others, it is read."""
    FORBIDDEN = "forbidden"
    """Storage refuses this object to this key."""
    REJECTED = "rejected"
    """Any other answer in the 400s that asking again would not change."""

    # Transient: worth another try.
    NETWORK = "network"
    """No connection, or one that broke."""
    TIMEOUT = "timeout"
    """No answer in time, ours (408) or theirs (544 included)."""
    RATE_LIMITED = "rate_limited"
    """429, and still 429 after waiting as long as it asked."""
    UNAVAILABLE = "unavailable"
    """An answer in the 500s."""

    @property
    def is_transient(self) -> bool:
        """Whether trying again later can help although the object has not changed."""
        return self in TRANSIENT_ERRORS


TRANSIENT_ERRORS = frozenset(
    {ErrorCode.NETWORK, ErrorCode.TIMEOUT, ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE}
)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is asked to do: the question that planning puts to the database."""

    bucket: str
    prefix: str = ""
    """A literal start of the object's name; `%`, `_` and `\\` mean themselves."""
    mode: Mode = Mode.MISSING
    depth: Depth = Depth.FULL
    after: str = ""
    """Only objects whose path comes after this one, by its bytes; none for all from the first."""
    until: str = ""
    """Only objects up to this path, and the one of this path; none for all to the last."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what there is to do for a `Selection`, about as much work as each of the others."""

    until: str
    """The path of its last object."""
    objects: int
    size_bytes: int


class PendingCount(msgspec.Struct, frozen=True):
    """What is left to do for a `Selection`."""

    objects: int
    size_bytes: int
    full_bytes: int = 0
    """Of `size_bytes`, what depth `full` reads: of large objects only parts are read."""
    header_bytes: int = 0
    """Of `size_bytes`, what depth `header` reads."""

    def summary(self) -> str:
        """For people: `1,003 objects to enrich, 905.2 MiB`."""
        return f"{self.objects:,} objects to enrich, {self.size_bytes / 2**20:,.1f} MiB"

    def __add__(self, other: PendingCount) -> PendingCount:
        """The count of both together."""
        return PendingCount(
            self.objects + other.objects,
            self.size_bytes + other.size_bytes,
            self.full_bytes + other.full_bytes,
            self.header_bytes + other.header_bytes,
        )


class RunPace(msgspec.Struct, frozen=True, kw_only=True):
    """What the last runs of a depth did together."""

    depth: Depth
    objects: int
    bytes_read: int
    seconds: float


class StorageObject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object to enrich, as `storage.objects` described it when the run was planned."""

    bucket: str
    path: str
    etag: str | None = None
    """Of the listing, `W/` stripped, its double quotes kept: `"3b5d…"`."""
    size_bytes: int | None = None
    declared_content_type: str | None = None
    previous_etag: str | None = None
    """Of the bytes that the existing row describes; None without one."""
    attempts: int = 0
    """How often these very bytes (this etag) were tried before this run."""


class Findings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a probe found in the bytes of one object. Units and ranges as noted."""

    status: AssetStatus
    error_code: ErrorCode | None = None
    error_message: str | None = None
    kind: Kind = Kind.OTHER
    """From the content type: `image`, `video`, `audio`, `document` or `other`."""
    content_type: str | None = None
    """The true one, by the bytes, normalised: `image/jpeg`, never `image/jpg`."""
    format: str | None = None
    """Lower case, as Pillow names it: `jpeg`, `png`, `webp`, `avif`."""
    width: int | None = None
    """Pixels, as displayed (orientation applied)."""
    height: int | None = None
    """Pixels, as displayed (orientation applied)."""
    orientation: int | None = None
    """EXIF orientation, 1 to 8."""
    frame_count: int | None = None
    """1 unless the image is animated or has pages."""
    is_animated: bool | None = None
    """The frames are an animation."""
    has_alpha: bool | None = None
    """The format carries an alpha channel (or a transparent palette entry)."""
    is_opaque: bool | None = None
    """No pixel is transparent. Needs the pixels where `has_alpha`."""
    color_mode: str | None = None
    """Pillow's mode: `RGB`, `RGBA`, `L`, `P`, `CMYK`, `I;16`."""
    bit_depth: int | None = None
    """Bits per channel in the file."""
    page_count: int | None = None
    """Pages of a document; slides of a presentation."""
    page_width_points: float | None = None
    """Of a PDF's first page, as displayed; 72 points are an inch."""
    page_height_points: float | None = None
    """Of a PDF's first page, as displayed; 72 points are an inch."""
    is_encrypted: bool | None = None
    """A document can't be read without a password."""
    duration_seconds: float | None = None
    """Of a video or a sound."""
    frame_rate: float | None = None
    """Of a video: frames a second, on average."""
    bit_rate: int | None = None
    """Of a video or a sound: bits a second, of all streams together."""
    video_codec: str | None = None
    """Lower case, as FFmpeg names it: `h264`, `hevc`, `vp9`, `av1`."""
    audio_codec: str | None = None
    """Lower case, as FFmpeg names it: `aac`, `mp3`, `opus`, `flac`, `pcm_s16le`."""
    audio_channels: int | None = None
    """Of the first sound stream."""
    sample_rate_hz: int | None = None
    """Of the first sound stream: samples a second."""
    has_audio: bool | None = None
    """A video has a sound stream."""
    icc_profile: str | None = None
    """The description in the ICC profile: `Display P3`."""
    dominant_color: str | None = None
    """`#rrggbb`, sRGB."""
    palette: list[str] | None = None
    """Up to six `#rrggbb`, most common first."""
    blurhash: str | None = None
    """A blurred placeholder, as text."""
    thumbhash: str | None = None
    """A blurred placeholder that keeps transparency, in Base64."""
    phash: str | None = None
    """A perceptual hash, similar for look-alikes: 64 bits as 16 hexadecimal digits (JavaScript's
    numbers hold 53)."""
    sha256: str | None = None
    """Of the bytes, as 64 hexadecimal digits: copies have the same."""
    taken_at: datetime | None = None
    """Aware, to the millisecond. Where `taken_at_offset` is unknown, it is local time taken for
    UTC. From EXIF (the original, else when it was digitised), IPTC or XMP, in this order."""
    taken_at_offset: int | None = None
    """Minutes east of UTC where it was taken; unknown where the file does not say it."""
    camera_make: str | None = None
    """From EXIF, XMP or QuickTime."""
    camera_model: str | None = None
    """From EXIF, XMP or QuickTime."""
    lens: str | None = None
    """From EXIF, the notes of its maker (Canon, Olympus) or XMP."""
    has_location: bool | None = None
    """The file says where it was taken: in EXIF, XMP or QuickTime. Stored even where locations are
    turned off, as it does not say where."""
    latitude: float | None = None
    """Degrees north; only where locations are turned on."""
    longitude: float | None = None
    """Degrees east; only where locations are turned on."""
    exif: dict[str, Any] | None = None
    """The allowed EXIF tags by their standard names, as JSON values."""
    title: str | None = None
    """From XMP, IPTC, the container (PNG, SVG, PDF, MP4) or EXIF, in this order."""
    description: str | None = None
    """From XMP, IPTC, the container or EXIF, in this order. What cameras write by themselves
    (`OLYMPUS DIGITAL CAMERA`) is none, nor are comments: JPEG's, GIF's and EXIF's UserComment."""
    tags: list[str] | None = None
    """Keywords of IPTC and XMP, in the order found, without doubles; those of Windows Explorer
    where there are no others."""
    creator: str | None = None
    """Who made it: photographer, artist or author. Several are separated by `; `."""
    copyright: str | None = None
    """The copyright notice."""
    license_url: str | None = None
    """Where the licence is, from XMP: Web Statement of Rights, else Creative Commons."""
    alt_text: str | None = None
    """Alternative text for people who do not see the picture, from IPTC's XMP."""
    rating: int | None = None
    """0 to 5 stars, -1 for rejected, from XMP or EXIF."""
    digital_source_type: str | None = None
    """The last part of IPTC's term: `trainedAlgorithmicMedia`, `digitalCapture`."""
    is_ai_generated: bool | None = None
    """By `digital_source_type`: made by a trained model, or with one. Unknown without it."""
    has_content_credentials: bool | None = None
    """A C2PA manifest is there; whether it is valid is not checked."""
    text_excerpt: str | None = None
    """The start of a document's text; only where excerpts are turned on."""
    labels: list[str] | None = None
    """Facts by rule, such as `screenshot`, `panorama` or `animated`, in alphabetical order."""
    warnings: list[str] | None = None
    """What is wrong with an enriched object, in alphabetical order: `damaged` (not all of the
    picture is as it was), `not-read-whole`, `truncated` (cut behind the first frame)."""


class MediaAsset(Findings, kw_only=True, omit_defaults=True):
    """A row of `public.media_assets`, less the columns that the database sets by itself.

    Those are id, object_id, user_id, tenant_id (read from `storage.objects` as the row is written,
    never cached), attempts, run_id, enriched_at, gone_at, created_at and updated_at.
    """

    bucket: str
    path: str
    etag: str | None
    """Of the bytes that were read, which may be newer than the listing."""
    size_bytes: int | None
    declared_content_type: str | None
    depth: Depth
    enricher_version: int


class Outcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One object touched by a run: what was found, and what it took. A row of the snapshot."""

    asset: MediaAsset
    previous_etag: str | None = None
    attempts: int = 1
    """Tries of these bytes, this one included."""
    bytes_read: int = 0
    download_seconds: float = 0.0
    probe_seconds: float = 0.0

    @property
    def is_transient_failure(self) -> bool:
        """Whether a later try may end better although the object has not changed."""
        code = self.asset.error_code
        return code is not None and code.is_transient


class EnrichRun(msgspec.Struct, kw_only=True):
    """A row of `public.media_enrich_runs`. The id is that of the Prefect flow run."""

    id: str
    flow: FlowName = FlowName.BACKFILL
    bucket: str
    prefix: str = ""
    max_files: int | None = None
    max_bytes: int | None = None
    """The bytes that the run may read; None for any number."""
    mode: Mode = Mode.MISSING
    depth: Depth = Depth.FULL
    trigger: Trigger = Trigger.MANUAL
    requested_by: str | None = None
    tenant_id: str | None = None
    parent_run_id: str | None = None
    """The sharded run that this one is a part of."""
    status: RunStatus = RunStatus.QUEUED
    total_files: int = 0
    processed_files: int = 0
    """Succeeded, failed and skipped together."""
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    """Unsupported types, and objects that went away before they were read."""
    bytes_read: int = 0
    stopped_by: StoppedBy | None = None
    """What kept a completed run from objects that it was to process."""
    snapshot_path: str | None = None
    error: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    heartbeat_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class FailureReason(msgspec.Struct, frozen=True, kw_only=True):
    """A reason for which objects of a run failed, with an example."""

    error_code: str
    objects: int
    """How many failed for it."""
    path: str
    """The first of them."""
    error_message: str | None = None
    """Of that one."""
