"""The project's files that are no Python: migrations, deployments, automations, templates.

In the repository they are at the top, where people and other tools look for them (`sql/`,
`deployments/`, `prefect.yaml`). This folder has a symbolic link to each. A build follows the links,
so a wheel has the files themselves, in this place; code finds them by the same path in both.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent

MIGRATIONS = _FOLDER / "sql"
"""The migrations, `<timestamp>_name.sql`."""

PREFECT_YAML = _FOLDER / "prefect.yaml"
"""The deployments, in the form of `prefect deploy`."""

AUTOMATIONS = _FOLDER / "deployments" / "automations"
"""One YAML file for each automation."""

EDGE_FUNCTION = _FOLDER / "deployments" / "supabase" / "functions" / "media-enricher"
"""The Edge Function in front of the gateway."""

DOCKER_WORK_POOL = _FOLDER / "deployments" / "work_pools" / "docker.json"
"""The base job template of a Docker work pool."""
