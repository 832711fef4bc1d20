"""A build step of `prefect.yaml` that sets the bucket of the nightly backfill.

It is a step instead of `{{ prefect.variables.… }}`, because that would be an empty name if the
variable does not exist, and the run would fail every night.
"""

from __future__ import annotations

from typing import Any

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

BUCKET_VARIABLE = "media_enricher_nightly_bucket"
DEPLOYMENT = "backfill/backfill-nightly"


def choose_bucket() -> dict[str, Any]:
    """Read the Prefect variable, as `prefect deploy` runs.

    Returns:
        `bucket`, if the variable exists; and `active`: false without a bucket, true if the
        deployment gets a bucket for the first time. Later `active` is missing, so that a paused
        schedule stays paused.
    """
    with get_client(sync_client=True) as client:
        variable = client.read_variable_by_name(BUCKET_VARIABLE)
        if variable is None or not variable.value:
            return {"active": False}
        if _has_bucket(client):
            return {"bucket": variable.value}
        return {"bucket": variable.value, "active": True}


def _has_bucket(client: SyncPrefectClient) -> bool:
    """Whether the deployment has a bucket already."""
    try:
        return "bucket" in client.read_deployment_by_name(DEPLOYMENT).parameters
    except ObjectNotFound:
        return False
