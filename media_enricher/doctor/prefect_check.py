"""Check the Prefect API over plain HTTP, because importing Prefect takes seconds."""

from __future__ import annotations

import base64
import os
import tomllib
from pathlib import Path

from media_enricher.doctor.checkup import NothingToCheck
from media_enricher.doctor.setup import Setup, Trouble


def prefect_api_answers(setup: Setup) -> str:
    """The API at PREFECT_API_URL responds, and accepts the credentials."""
    configured = _profile() | {
        name: value for name, value in os.environ.items() if name.startswith("PREFECT_") and value
    }
    url = configured.get("PREFECT_API_URL", "").rstrip("/")
    if not url:
        raise NothingToCheck(
            "PREFECT_API_URL is not set: each run starts a temporary Prefect server and appears in "
            "no UI"
        )
    try:
        health = setup.ask_anyone("GET", f"{url}/health")
        version = setup.ask_anyone("GET", f"{url}/admin/version", headers=_credentials(configured))
    except Trouble as trouble:
        raise Trouble(
            f"PREFECT_API_URL: {trouble.problem}",
            "Start the server (`prefect server start`), or set PREFECT_API_URL to its address",
        ) from None
    if not health.is_ok or health.body is None:
        raise Trouble(
            f"{url} is not a Prefect API: {url}/health returned status {health.status}",
            "Set PREFECT_API_URL to an address that ends in /api, for example "
            "http://127.0.0.1:4200/api",
        )
    if version.status in {401, 403}:
        raise Trouble(
            f"the Prefect API at {url} rejected the credentials (status {version.status})",
            "Set PREFECT_API_AUTH_STRING to the value that the server has, or PREFECT_API_KEY for "
            "Prefect Cloud",
        )
    return f"{url}, Prefect {version.body if version.is_ok else 'Cloud'}"


def _profile() -> dict[str, str]:
    """The settings of Prefect's active profile, which `prefect config set` writes."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    file = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    try:
        profiles = tomllib.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise Trouble(
            f"{file} is not valid TOML: {error}", "Correct the file, or delete it"
        ) from None
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    return {
        name: str(value) for name, value in profiles.get("profiles", {}).get(active, {}).items()
    }


def _credentials(configured: dict[str, str]) -> dict[str, str]:
    if auth := configured.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}
    if key := configured.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    return {}
