"""The records of requests for runs: the request, its caller, and the database's decision.

The gateway, the functions of the database, and the flows that start runs or process single objects
exchange them. The records of objects, assets and runs are in `models`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import msgspec

from media_enricher import labels
from media_enricher.models import Depth, EnrichRun, FlowName, Mode, StorageObject, Trigger


class RequestRoute(StrEnum):
    """The route of HTTP by which a run was asked for. Stored in the audit."""

    BACKFILL = "backfill"
    CRON = "cron"
    ENRICH = "enrich"


class RequestOutcome(StrEnum):
    """What became of a request to start a run. Stored in the audit as its reason."""

    REFUSED = "refused"
    """Not allowed, or not understood: the gateway said so."""
    RATE_LIMITED = "rate_limited"
    """This caller asked too often in the last minute."""
    UNKNOWN_BUCKET = "unknown_bucket"
    COUNTED = "counted"
    """A dry run: it may be counted, and nothing was reserved."""
    REPEATED = "repeated"
    """The idempotency key was used before, for the same: the same run, however it ended."""
    KEY_REUSED = "key_reused"
    """The idempotency key was used before, for something else."""
    UNDER_WAY = "under_way"
    """A run that does this, and maybe more, is queued or running already."""
    TOO_MANY_RUNS = "too_many_runs"
    """As many runs as are allowed are under way: see `Reservation.limited_by`."""
    TOO_MANY_OBJECTS = "too_many_objects"
    """As many single objects as a tenant may ask for are waiting."""
    QUEUED = "queued"
    """Reserved, and to be started; by someone else before, unless the reservation is new."""


class Invoker(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a run, as far as their token tells."""

    role: str | None = None
    """`service_role`, `authenticated`, `anon` or `webhook`."""
    user_id: str | None = None
    tenant_id: str | None = None
    is_admin: bool = False


class Quota(StrEnum):
    """Which quota of active runs is used up."""

    SERVICE = "service"
    USER = "user"
    TENANT = "tenant"
    """Of a tenant, or of all users who belong to none."""
    ALL = "all"
    """Of all users together."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request to start a run is refused before anything is looked up."""

    http_status: int
    reason: str


class AskedObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object that is to be enriched."""

    path: str
    is_forced: bool = False
    """Enrich it even if it is up to date."""


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """A request to start a run, as it came: what is asked, by whom, and from where.

    Asking with the same invocation again is a second look at the same request: it is audited once,
    and counted once towards the limit.
    """

    invocation_id: str = msgspec.field(default_factory=lambda: str(uuid4()))
    route: RequestRoute
    flow: FlowName
    bucket: str | None = None
    prefix: str = ""
    max_files: int | None = None
    mode: str = Mode.MISSING
    """A `Mode`; in a refused request, whatever was sent."""
    depth: str = Depth.FULL
    """A `Depth`; in a refused request, whatever was sent."""
    trigger: Trigger = Trigger.HTTP
    is_dry_run: bool = False
    is_exclusive: bool = False
    """No run of the same flow may be under way over any part of the prefix."""
    objects: list[AskedObject] | None = None
    """Of the flow `enrich-object`."""
    idempotency_key: str | None = None
    """Of the caller's choosing, up to 255 characters."""
    caller: Invoker = Invoker()
    ip_address: str | None = None
    user_agent: str | None = None
    refusal: Refused | None = None


class RequestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed, and what counts as a sign of life."""

    requests_per_minute: int | None = None
    """Of this caller; None for any number."""
    active_runs: int | None = None
    """Backfills of all users that may be under way at once; None, here and below: any number."""
    tenant_active_runs: int | None = None
    """Those of one tenant; users without a tenant share one such quota."""
    user_active_runs: int | None = None
    """Those of one user."""
    service_active_runs: int | None = None
    """Those of the service key, which count towards no other limit."""
    waiting_objects: int | None = None
    """Single objects that may wait in a tenant's own queue before its users are refused more."""
    shared_queue_objects: int | None = None
    """A tenant's objects in the queue that a bucket's tenants share; more get one of their own."""
    silence_seconds: float
    """A running run whose last heartbeat is older is taken for dead."""


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A reserved run: whoever finds one without a `run_id` starts it, with its id as the key."""

    id: str
    flow: FlowName
    bucket: str
    prefix: str
    max_files: int | None
    mode: Mode
    depth: Depth
    trigger: Trigger
    requested_by: str | None
    tenant_id: str | None
    run_id: str | None
    requested_at: datetime

    def parameters(self) -> dict[str, Any]:
        """Of the flow, as in Prefect's form."""
        parameters: dict[str, Any] = {
            "bucket": self.bucket,
            "prefix": self.prefix,
            "depth": self.depth.value,
        }
        if self.flow is FlowName.BACKFILL:
            parameters |= {"limit": self.max_files, "mode": self.mode.value}
        return parameters

    def labels(self) -> dict[str, str]:
        """Of the flow run: what its hooks tell the run table, should they come first."""
        told = {
            labels.TRIGGER: self.trigger.value,
            labels.REQUESTED_BY: self.requested_by,
            labels.TENANT_ID: self.tenant_id,
        }
        return {name: value for name, value in told.items() if value is not None}


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """What the database made of an `Invocation`."""

    outcome: RequestOutcome
    invocation_id: str
    retry_after: int | None = None
    """Seconds until it is of use to ask again, where a limit was reached."""
    limited_by: Quota | None = None
    """Which quota is used up, of too many runs."""
    is_new: bool = False
    """This invocation made the request."""
    request: RunRequest | None = None
    run: EnrichRun | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where single objects are asked for: one run at a time drains each."""

    bucket: str
    prefix: str
    """'' or a tenant's folder."""


class RequestedPage(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest of the objects that somebody asked for; empty when there is none left."""

    pending: list[StorageObject]
    """Those that there is something to do for."""
    paths: list[str]
    """All of them, those that are gone or up to date included."""
    sequence: int
    """Up to which request they were read: a later one for the same path is not of this page."""
