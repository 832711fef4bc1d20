"""Create the automations of `deployments/automations/`.

The files have the format of `prefect automation create`, with one exception: instead of the id of a
deployment or block, which differs between servers, they contain its name, such as
`backfill/backfill` or `webhook/media-enricher-…`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from media_enricher.project_files import AUTOMATIONS
from media_enricher.setup.resources import Outcome, Resource, SetupError


async def make_automations(client: PrefectClient) -> AsyncIterator[Resource]:
    """Create or update the automations of the files. One that was switched off stays off.

    Raises:
        SetupError: there are no files, or one of them is not valid.
    """
    files = sorted(AUTOMATIONS.glob("*.yaml"))
    if not files:
        raise SetupError(
            f"There are no automations in {AUTOMATIONS}. The installation is not complete: "
            "install Media Enricher again."
        )
    for file in files:
        yield await make_automation(client, msgspec.yaml.decode(file.read_bytes()))


async def make_automation(client: PrefectClient, described: dict[str, Any]) -> Resource:
    """Create or update one automation. It is skipped if its deployment or block does not exist.

    Args:
        client: a client of the Prefect API.
        described: the automation as in a file.

    Raises:
        SetupError: Prefect rejects the automation.
    """
    name = described["name"]
    try:
        actions = [await _with_ids(client, action) for action in described["actions"]]
    except _MissingError as missing:
        return Resource("automation", name, Outcome.SKIPPED, str(missing))
    try:
        wanted = AutomationCore.model_validate(described | {"actions": actions})
    except ValidationError as invalid:
        raise SetupError(f"The automation {name!r} is not valid: {invalid}") from None
    found = await client.read_automations_by_name(name)
    if not found:
        await client.create_automation(wanted)
        return Resource("automation", name, Outcome.CREATED)
    wanted = wanted.model_copy(update={"enabled": found[0].enabled})
    note = "" if wanted.enabled else "switched off"
    if _core(found[0]) == wanted:
        return Resource("automation", name, Outcome.UNCHANGED, note)
    await client.update_automation(found[0].id, _complete(wanted))
    return Resource("automation", name, Outcome.UPDATED, note)


class _MissingError(Exception):
    """There is no deployment or block of that name."""


async def _with_ids(client: PrefectClient, action: dict[str, Any]) -> dict[str, Any]:
    """An action with ids in place of names."""
    if "deployment_id" in action:
        return action | {"deployment_id": await _deployment_id(client, action["deployment_id"])}
    if "block_document_id" in action:
        return action | {"block_document_id": await _block_id(client, action["block_document_id"])}
    return action


async def _deployment_id(client: PrefectClient, name: str) -> str:
    try:
        return str((await client.read_deployment_by_name(name)).id)
    except ObjectNotFound:
        raise _MissingError(f"there is no deployment {name}") from None


async def _block_id(client: PrefectClient, label: str) -> str:
    kind, _, name = label.partition("/")
    try:
        return str((await client.read_block_document_by_name(name, kind)).id)
    except ObjectNotFound:
        raise _MissingError(f"there is no block {label}") from None


def _core(automation: Automation) -> AutomationCore:
    """An automation without its id."""
    return AutomationCore.model_validate(automation.model_dump(exclude={"id"}))


def _complete(automation: AutomationCore) -> AutomationCore:
    """The same with all defaults set explicitly: an update sends only fields that are set."""
    return AutomationCore.model_validate(automation.model_dump())
