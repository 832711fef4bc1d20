"""What a caller may do and see: pure functions of the caller.

The service key and admins without a tenant may do everything. Who belongs to a tenant, admin or
not, stays in the tenant's folder and among its runs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypedDict

import msgspec

from media_enricher.gateway.auth import Caller, Role
from media_enricher.gateway.errors import ApiError
from media_enricher.models import EnrichRun, FlowName
from media_enricher.settings import GatewaySettings, WhoMayTrigger

PROGRESS_COLUMNS = (
    "id",
    "parent_run_id",
    "status",
    "total_files",
    "processed_files",
    "succeeded",
    "failed",
    "skipped",
    "started_at",
    "finished_at",
    "heartbeat_at",
    "created_at",
    "updated_at",
    "stopped_by",
)
"""What row level security lets every user read of a run: how it gets on, not what it looks at."""


class View(StrEnum):
    """How much of a run a caller sees."""

    WHOLE = "whole"
    PROGRESS = "progress"
    """`PROGRESS_COLUMNS` alone."""


class RunScope(TypedDict, total=False):
    """Arguments of `RunTable.recent` that narrow it; none of them: every run."""

    tenant_id: str
    requested_by: str


def may_trigger(caller: Caller, settings: GatewaySettings) -> bool:
    """Whether a caller may start or cancel runs at all."""
    if caller.role is not Role.USER or caller.is_admin:
        return True
    return settings.who_may_trigger is WhoMayTrigger.SIGNED_IN and not caller.is_anonymous


def require_may_trigger(caller: Caller, settings: GatewaySettings) -> None:
    """Refuse callers who may not start or cancel runs.

    Raises:
        ApiError: 403 `not_admin`.
    """
    if may_trigger(caller, settings):
        return
    if settings.who_may_trigger is WhoMayTrigger.SIGNED_IN:
        raise ApiError(
            403, "not_admin", "Only users with an account may start runs. Sign in, or sign up."
        )
    raise ApiError(
        403,
        "not_admin",
        "Only admins may start or cancel runs: users whose app_metadata has user_role (or role) "
        "'admin', and a tenant_id that is missing or a UUID. Ask the project's operator.",
    )


def is_rate_limited(caller: Caller) -> bool:
    """Whether `requests_per_minute` holds for a caller."""
    return caller.role is Role.USER and not caller.is_admin


def is_confined(caller: Caller) -> bool:
    """Whether a caller works only where Storage's policies, or a tenant's folder, let them."""
    return caller.role is Role.USER and not caller.is_admin


def require_within_tenant(caller: Caller, path: str, what: str) -> None:
    """Keep those who belong to a tenant in the tenant's folder.

    Args:
        caller: whoever asks.
        path: of an object, or a prefix of paths.
        what: the name of the field that holds it.

    Raises:
        ApiError: 403 `outside_tenant`; it says which folder is allowed.
    """
    if caller.tenant_id is None:
        return
    folder, slash, _ = path.partition("/")
    if slash and folder.lower() == caller.tenant_id:
        return
    allowed = f"{caller.tenant_id}/"
    given = f"is {path!r}" if path else "is missing"
    raise ApiError(
        403,
        "outside_tenant",
        f"{what} {given}. You may only work in your tenant's folder: start {what} with {allowed}",
        field=what,
        value=path,
        allowed=allowed,
    )


def may_see_all(caller: Caller) -> bool:
    """Whether a caller sees the runs of everyone."""
    return caller.is_service or (caller.is_admin and caller.tenant_id is None)


def run_scope(caller: Caller) -> RunScope:
    """The runs that are listed for a caller: all, their tenant's, or those they asked for."""
    if may_see_all(caller):
        return {}
    if caller.tenant_id is not None:
        return {"tenant_id": caller.tenant_id}
    return {"requested_by": caller.user_id or caller.role}


def visible(run: EnrichRun, caller: Caller) -> View | None:
    """How much of a run a caller may see; None for nothing, not even that it exists."""
    if may_see_all(caller):
        return View.WHOLE
    if caller.role is not Role.USER:
        return None
    if caller.tenant_id is not None:
        return View.WHOLE if run.tenant_id == caller.tenant_id else None
    # Single objects that others ask for are done by the same run: it is not one user's alone.
    if run.requested_by == caller.user_id and run.flow is not FlowName.ENRICH_OBJECT:
        return View.WHOLE
    return View.PROGRESS if run.tenant_id is None else None


def may_see_objects(run: EnrichRun, caller: Caller) -> bool:
    """Whether a caller may see which objects a run found: assets, pictures, snapshot, examples.

    For admins, of all or of the run's tenant. Others read `media_assets` under row level security,
    which knows whose object each is: having started a run over a bucket opens none of its files.
    """
    if may_see_all(caller):
        return True
    return caller.is_admin and run.tenant_id == caller.tenant_id


def require_may_see_assets(caller: Caller) -> str | None:
    """Keep all assets together for admins: those of a tenant see their tenant's.

    Returns:
        The tenant whose assets the caller may see; None for everybody's.

    Raises:
        ApiError: 403 `not_admin`.
    """
    if may_see_all(caller):
        return None
    if caller.is_admin and caller.tenant_id is not None:
        return caller.tenant_id
    raise ApiError(
        403,
        "not_admin",
        "Only admins may see the assets of others. Read your own rows of media_assets with "
        "supabase-js.",
    )


def columns(run: EnrichRun, view: View) -> dict[str, Any]:
    """A run's columns, as far as a view shows them; times as they are."""
    row = msgspec.structs.asdict(run)
    return row if view is View.WHOLE else {name: row[name] for name in PROGRESS_COLUMNS}
