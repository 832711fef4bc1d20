"""Which bucket the nightly backfill works on: a build step of `prefect.yaml`.

A step, and no `{{ prefect.variables.… }}`, for that would be an empty name where there is no such
variable, and a run that fails every night.
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
        `bucket`, unless there is no such variable; and `active`: false without a bucket, true when
        there is one for the first time. Later it is left out, so that what is paused stays paused.
    """
    with get_client(sync_client=True) as client:
        variable = client.read_variable_by_name(BUCKET_VARIABLE)
        if variable is None or not variable.value:
            return {"active": False}
        if _has_bucket(client):
            return {"bucket": variable.value}
        return {"bucket": variable.value, "active": True}


def _has_bucket(client: SyncPrefectClient) -> bool:
    """Whether the deployment, as it is now, has a bucket already."""
    try:
        return "bucket" in client.read_deployment_by_name(DEPLOYMENT).parameters
    except ObjectNotFound:
        return False
