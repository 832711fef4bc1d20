"""Create the deployments of `prefect.yaml` with `prefect deploy`, but only if they have changed.

Each deployment gets a version that identifies its inputs: the version of the package, and a digest
of `prefect.yaml`, the code, and the variables that it uses. If Prefect has this version already,
nothing is deployed. A deployment made by hand has the plain version, and is deployed again.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

from media_enricher.project_files import PREFECT_YAML
from media_enricher.setup.nightly import BUCKET_VARIABLE
from media_enricher.setup.resources import Outcome, Resource, SetupError
from media_enricher.setup.watching import choose_schedule
from process_control import parent_death

_PACKAGES = Path(__file__).parents[2]  # of a checkout, or site-packages
_CODE = ("flows", "media_enricher", "tasks")
_LINES_SHOWN = 20


async def make_deployments(client: PrefectClient) -> AsyncIterator[Resource]:
    """Deploy what `prefect.yaml` lists, if any of it is new or changed.

    Raises:
        SetupError: the file is missing, or `prefect deploy` failed.
    """
    file = _read()
    digest = await _digest(client)
    versions = {}
    for deployment in file["deployments"]:
        deployment["version"] = f"{deployment['version']}+{digest}"
        versions[deployment["name"]] = deployment["version"]
    there = await _versions(client, list(versions))
    if there != versions:
        await _deploy(file)
    for name, version in versions.items():
        if name not in there:
            outcome = Outcome.CREATED
        else:
            outcome = Outcome.UNCHANGED if there == versions else Outcome.UPDATED
        yield Resource("deployment", name, outcome, f"version {version}")


def _read() -> dict[str, Any]:
    try:
        file: dict[str, Any] = msgspec.yaml.decode(PREFECT_YAML.read_bytes())
    except FileNotFoundError:
        raise SetupError(
            f"There is no {PREFECT_YAML}. The installation is not complete: "
            "install Media Enricher again."
        ) from None
    except msgspec.DecodeError as error:
        raise SetupError(f"{PREFECT_YAML} is not valid YAML: {error}") from None
    return file


async def _digest(client: PrefectClient) -> str:
    """A digest of all inputs of deployments: parameters and descriptions come from the code."""
    digest = hashlib.sha256(PREFECT_YAML.read_bytes())
    for module in sorted(file for part in _CODE for file in (_PACKAGES / part).rglob("*.py")):
        digest.update(module.read_bytes())
    bucket = await client.read_variable_by_name(BUCKET_VARIABLE)
    digest.update(f"{bucket and bucket.value}{choose_schedule()}".encode())
    return digest.hexdigest()[:8]


async def _versions(client: PrefectClient, names: list[str]) -> dict[str, str | None]:
    """The versions of the deployments that Prefect has."""
    there = await client.read_deployments(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=names))
    )
    return {deployment.name: deployment.version for deployment in there}


async def _deploy(file: dict[str, Any]) -> None:
    """Run `prefect deploy --all` on a copy of the file that has the full versions."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as copy:
        copy.write(msgspec.yaml.encode(file))
        copy.flush()
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"),
            *("--prefect-file", copy.name),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=parent_death.preexec(),
        )
        output, _ = await program.communicate()
    if program.returncode != 0:
        last = "\n".join(output.decode(errors="replace").splitlines()[-_LINES_SHOWN:])
        raise SetupError(
            f"`prefect deploy --all` failed with exit code {program.returncode}:\n{last}"
        )
