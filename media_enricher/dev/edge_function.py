"""The Edge Function of `deployments/supabase/`, in front of the gateway of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe

from media_enricher.project_files import EDGE_FUNCTION
from supabase_local.edge_function import EdgeFunction
from supabase_local.ports import on_free_ports

SECRET = "MEDIA_ENRICHER_EDGE_FUNCTION_SECRET"  # noqa: S105 - the name of the variable
_ORIGINS = "MEDIA_ENRICHER_CORS_ORIGINS"
_SECONDS = "MEDIA_ENRICHER_EDGE_FUNCTION_SECONDS"


def edge_function_secrets(gateway_url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The function's secrets for a gateway, which needs the same `SECRET`.

    Without `MEDIA_ENRICHER_CORS_ORIGINS` any page may call, as it may all else of a local stack.

    Args:
        gateway_url: its base.
        environment: what is set already; a secret that is missing is made up.
    """
    return {
        "MEDIA_ENRICHER_URL": gateway_url,
        SECRET: environment.get(SECRET) or token_urlsafe(32),
        _ORIGINS: environment.get(_ORIGINS) or "*",
        _SECONDS: environment.get(_SECONDS, ""),
    }


def start_edge_function(folder: Path, log: Path, secrets: Mapping[str, str]) -> EdgeFunction:
    """Start it, and wait until it answers.

    Args:
        folder: for what Deno compiles; made if missing.
        log: its output is appended here.
        secrets: as `edge_function_secrets` gives them.

    Raises:
        LocalStackError: Deno is not installed, or the function does not start.
    """
    return on_free_ports(
        lambda: EdgeFunction.start(EDGE_FUNCTION, log, secrets=secrets, cache=folder)
    )
