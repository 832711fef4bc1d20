"""The base job template of a Docker work pool: ours, and what was decided for this one.

The image and our settings are those of the last set-up, so that an upgrade, or the way back, is a
set-up by another version. All else that an operator changed in the pool is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from media_enricher.project_files import DOCKER_WORK_POOL
from media_enricher.settings import run_environment, run_variables
from media_enricher.setup.things import SetupError


def docker_template(there: Mapping[str, Any] | None, image: str | None) -> dict[str, Any]:
    """What the pool's base job template should be.

    Args:
        there: what it is now; None for a new pool.
        image: of runs; None for that of this version.

    Raises:
        SetupError: the file of the template is missing.
        SettingsError: a setting of runs is invalid.
    """
    template = _read()
    ours = _defaults(template)
    kept = _defaults(there) if there and _is_ours(there) else {}
    chosen = {
        **kept,
        "image": image or ours["image"],
        "env": _without_settings(kept.get("env", {})) | ours["env"] | run_environment(),
    }
    for name, variable in template["variables"]["properties"].items():
        variable["default"] = chosen.get(name, ours[name])
    return template


def _defaults(template: Mapping[str, Any]) -> dict[str, Any]:
    variables = template["variables"]["properties"]
    return {name: variable.get("default") for name, variable in variables.items()}


def _without_settings(env: Mapping[str, str]) -> dict[str, str]:
    """What is none of our settings; of those, one that was set before may be so no longer."""
    return {name: value for name, value in env.items() if name not in run_variables()}


def _is_ours(template: Mapping[str, Any]) -> bool:
    """Whether it was made here; that of a worker which made its pool itself is not kept.

    In ours the environment is a table, with some variables set; in Prefect's it is a placeholder.
    """
    return isinstance(template["job_configuration"].get("env"), dict)


def _read() -> dict[str, Any]:
    try:
        template: dict[str, Any] = msgspec.json.decode(DOCKER_WORK_POOL.read_bytes())
    except FileNotFoundError:
        raise SetupError(
            f"There is no {DOCKER_WORK_POOL}. The installation is not complete: "
            "install Media Enricher again."
        ) from None
    return template
