"""The records of requests for runs: the request, its caller, and the database's decision.

They are exchanged by the gateway, the functions of the database, and the flows that start runs or
process single objects. The records of objects, assets and runs are in `models`.
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
    """The HTTP route that received the request. Stored in the audit."""

    BACKFILL = "backfill"
    CRON = "cron"
    ENRICH = "enrich"


class RequestOutcome(StrEnum):
    """The result of a request to start a run. Stored in the audit as its reason."""

    REFUSED = "refused"
    """The gateway refused it: it was not allowed, or not valid."""
    RATE_LIMITED = "rate_limited"
    """The caller sent too many requests in the last minute."""
    UNKNOWN_BUCKET = "unknown_bucket"
    COUNTED = "counted"
    """A dry run: the objects may be counted, and nothing was reserved."""
    REPEATED = "repeated"
    """The idempotency key was used before for the same request. The response names that run."""
    KEY_REUSED = "key_reused"
    """The idempotency key was used before for another request."""
    UNDER_WAY = "under_way"
    """A run that covers this request is already queued or running."""
    TOO_MANY_RUNS = "too_many_runs"
    """The limit of active runs is reached: see `Reservation.limited_by`."""
    TOO_MANY_OBJECTS = "too_many_objects"
    """The limit of single objects that may wait for this tenant is reached."""
    QUEUED = "queued"
    """The run is reserved and to be started. If the reservation is not new, another made it."""


class Invoker(msgspec.Struct, frozen=True, kw_only=True):
    """Who requests a run, according to their token."""

    role: str | None = None
    """`service_role`, `authenticated`, `anon` or `webhook`."""
    user_id: str | None = None
    tenant_id: str | None = None
    is_admin: bool = False


class Quota(StrEnum):
    """The quota of active runs that is used up."""

    SERVICE = "service"
    USER = "user"
    TENANT = "tenant"
    """The quota of a tenant, or the one that all users without a tenant share."""
    ALL = "all"
    """The quota of all users together."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The refusal of a request before anything was looked up: HTTP status and error code."""

    http_status: int
    reason: str


class RequestedObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object to enrich."""

    path: str
    is_forced: bool = False
    """Enrich it even if it is up to date."""


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """A request to start a run as it was received: what, by whom, and from where.

    An invocation may be sent to the database again. It is then audited once, and counted once
    towards the limit.
    """

    invocation_id: str = msgspec.field(default_factory=lambda: str(uuid4()))
    route: RequestRoute
    flow: FlowName
    bucket: str | None = None
    prefix: str = ""
    max_files: int | None = None
    max_bytes: int | None = None
    mode: str = Mode.MISSING
    """A `Mode`; in a refused request, whatever was sent."""
    depth: str = Depth.FULL
    """A `Depth`; in a refused request, whatever was sent."""
    trigger: Trigger = Trigger.HTTP
    is_dry_run: bool = False
    is_exclusive: bool = False
    """Start no run while one of the same flow is active anywhere under the prefix."""
    objects: list[RequestedObject] | None = None
    """The objects for the flow `enrich-object`; None for other flows."""
    idempotency_key: str | None = None
    """Chosen by the caller, up to 255 characters."""
    caller: Invoker = Invoker()
    ip_address: str | None = None
    user_agent: str | None = None
    refusal: Refused | None = None


class RequestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits on requests, and when a run counts as dead. None means no limit."""

    requests_per_minute: int | None = None
    """Requests of this caller."""
    active_runs: int | None = None
    """Active backfills of all users together."""
    tenant_active_runs: int | None = None
    """Active backfills of one tenant. Users without a tenant share one quota."""
    user_active_runs: int | None = None
    """Active backfills of one user."""
    service_active_runs: int | None = None
    """Active backfills of the service key. They count towards no other limit."""
    waiting_objects: int | None = None
    """Single objects that may wait in a tenant's queue. Above this, requests are refused."""
    shared_queue_objects: int | None = None
    """Objects that a tenant may have in the queue that all tenants of a bucket share.

    Above this, they go to a queue of the tenant's own.
    """
    silence_seconds: float
    """A running run is considered dead if its last heartbeat is older than this."""


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A reserved run. If `run_id` is None, it is to be started, with `id` as idempotency key."""

    id: str
    flow: FlowName
    bucket: str
    prefix: str
    max_files: int | None
    max_bytes: int | None = None
    mode: Mode
    depth: Depth
    trigger: Trigger
    requested_by: str | None
    tenant_id: str | None
    run_id: str | None
    requested_at: datetime

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the flow, as in Prefect's form."""
        parameters: dict[str, Any] = {
            "bucket": self.bucket,
            "prefix": self.prefix,
            "depth": self.depth.value,
        }
        if self.flow is FlowName.BACKFILL:
            parameters |= {"limit": self.max_files, "mode": self.mode.value}
            if self.max_bytes is not None:  # a deployment of a version before does not know it
                parameters["max_bytes"] = self.max_bytes
        return parameters

    def labels(self) -> dict[str, str]:
        """Return the labels of the flow run. Its state hooks copy them into the run's row."""
        values = {
            labels.TRIGGER: self.trigger.value,
            labels.REQUESTED_BY: self.requested_by,
            labels.TENANT_ID: self.tenant_id,
        }
        return {name: value for name, value in values.items() if value is not None}


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """The decision of the database about an `Invocation`."""

    outcome: RequestOutcome
    invocation_id: str
    retry_after: int | None = None
    """Seconds after which a new request may succeed, if a limit was reached."""
    limited_by: Quota | None = None
    """The quota that is used up, if the outcome is `too_many_runs`."""
    is_new: bool = False
    """Whether this invocation made the reservation."""
    request: RunRequest | None = None
    run: EnrichRun | None = None


class ObjectQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue of requested single objects. One run at a time processes it."""

    bucket: str
    prefix: str
    """Empty, or the folder of a tenant."""


class RequestedPage(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest requested objects; empty if none are left."""

    pending: list[StorageObject]
    """The objects that have to be enriched."""
    paths: list[str]
    """The paths of all requested objects, also of those that are deleted or up to date."""
    sequences: list[int]
    """The number of the request for each of `paths`. One with another number is a later request."""
