"""The base job template of a Docker work pool, with the changes that an operator made.

The image and the settings are those of the last set-up, so that an upgrade or a rollback is a
set-up with another version. All other changes by an operator are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from media_enricher.project_files import DOCKER_WORK_POOL
from media_enricher.settings import run_environment, run_variables
from media_enricher.setup.resources import SetupError


def docker_template(there: Mapping[str, Any] | None, image: str | None) -> dict[str, Any]:
    """What the pool's base job template should be.

    Args:
        there: the current template; None for a new pool.
        image: the image of runs; None for that of this version.

    Raises:
        SetupError: the file of the template is missing.
        SettingsError: a setting for runs is invalid.
    """
    template = _read()
    defaults = _defaults(template)
    stored = _defaults(there) if there and _is_ours(there) else {}
    chosen = {
        **stored,
        "image": image or defaults["image"],
        "env": _without_settings(stored.get("env", {})) | defaults["env"] | run_environment(),
    }
    for name, variable in template["variables"]["properties"].items():
        variable["default"] = chosen.get(name, defaults[name])
    return template


def _defaults(template: Mapping[str, Any]) -> dict[str, Any]:
    variables = template["variables"]["properties"]
    return {name: variable.get("default") for name, variable in variables.items()}


def _without_settings(env: Mapping[str, str]) -> dict[str, str]:
    """Drop the settings of runs: one that was set earlier may not be set any more."""
    return {name: value for name, value in env.items() if name not in run_variables()}


def _is_ours(template: Mapping[str, Any]) -> bool:
    """Whether setup created the template; one that a worker created is replaced.

    In our template `env` is a table with some variables; in Prefect's it is a placeholder.
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
