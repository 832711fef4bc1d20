"""docs/reference/settings.md: from the groups of settings."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from docs.tools.tables import code, table
from media_enricher.settings import (
    DatabaseSettings,
    GatewaySettings,
    Settings,
    SetupSettings,
    SupabaseSettings,
)

TEMPLATE = """\
# Settings

Everything is set in the environment, or in a `.env` file in the folder where you start it. Variables that are set win over `.env`. A wrong value ends a command at once with a sentence that names it.

## The project

These settings say where the project is, and hold its keys (in the dashboard under *Project Settings*, *API Keys*). Both kinds of Supabase keys work, the new and the legacy one. The secret key bypasses row level security: it belongs on your servers and nowhere else, and Media Enricher never logs it. Prefect has it in an encrypted [block](../guides/keys-and-task-cache.md) alone.

{project}

## Runs

These settings say how runs work. Every one has a default that is meant to be kept:

{runs}

## The gateway

These settings say how the HTTP trigger works (`media-enricher serve` and `media-enricher up`):

{gateway}

## The set-up

These settings say what else `media-enricher setup` makes:

{setup}

`media-enricher doctor` tells whether what you have set works.
"""  # noqa: E501


def page() -> str:
    """The text of the page."""
    return TEMPLATE.format(
        project=_table(SupabaseSettings, DatabaseSettings),
        runs=_table(Settings),
        gateway=_table(GatewaySettings),
        setup=_table(SetupSettings),
    )


def _table(*groups: type[BaseSettings]) -> str:
    return table(
        ("setting", "default", "what it is"),
        (
            (
                " or ".join(map(code, variables(group, name, field))),
                _default(group, field),
                field.description or "",
            )
            for group in groups
            for name, field in group.model_fields.items()
        ),
    )


def variables(group: type[BaseSettings], name: str, field: FieldInfo) -> list[str]:
    """The names of a setting in the environment, the one that wins first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias) if alias else f"{group.model_config.get('env_prefix', '')}{name}".upper()]


def _default(group: type[BaseSettings], field: FieldInfo) -> str:
    """The default as one would write it into the environment."""
    if field.is_required():
        return "for `migrate` only" if group is DatabaseSettings else "required"
    if field.default_factory is not None:  # a value of this machine has no place on a page
        return "one per processor"
    value: Any = field.default
    if value is None or value == ():
        return "not set"
    if isinstance(value, tuple):
        return code(",".join(value))
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(f"{value:g}" if isinstance(value, float) else value)
