"""Start a run of a deployment from within a flow, without waiting for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

_NONE: Mapping[str, str] = MappingProxyType({})


class UnknownDeploymentError(Exception):
    """Prefect has no deployment of that name."""


def start_deployment(
    deployment: str,
    parameters: Mapping[str, Any],
    *,
    idempotency_key: str,
    labels: Mapping[str, str] = _NONE,
    tags: Sequence[str] = (),
) -> FlowRun:
    """Start a run of a deployment, or find the one that was started with this key.

    Args:
        deployment: the full name, for example `backfill/backfill`.
        parameters: the parameters of the flow; missing ones are the deployment's.
        idempotency_key: the same key always gives the same run, even one that has ended.
        labels: stored with the run, for its hooks.
        tags: added to those of the deployment.

    Returns:
        The flow run as Prefect has it now.

    Raises:
        UnknownDeploymentError: there is no such deployment.
        httpx.HTTPError: Prefect does not respond, or rejects the parameters.
    """
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            raise UnknownDeploymentError(
                f"Prefect has no deployment {deployment!r}; create it with `media-enricher setup`"
            ) from None
        return client.create_flow_run_from_deployment(
            found.id,
            parameters=dict(parameters),
            idempotency_key=idempotency_key,
            labels=dict(labels),
            tags=list(tags),
        )
