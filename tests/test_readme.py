"""The README tells the truth about the settings: every one, its default and what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from media_enricher.settings import (
    DatabaseSettings,
    GatewaySettings,
    Settings,
    SetupSettings,
    SupabaseSettings,
)

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def names(group: type[BaseSettings], name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias) if alias else f"{group.model_config.get('env_prefix', '')}{name}".upper()]


def default(group: type[BaseSettings], field: FieldInfo) -> str:
    """The default as one would write it into the environment."""
    if field.is_required():
        return "for `migrate` only" if group is DatabaseSettings else "required"
    value: Any = field.default
    if field.default_factory is not None:
        return "one per processor"
    if value is None or value == ():
        return "not set"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def rows() -> list[str]:
    """The lines of the README's tables of settings, as they should be."""
    return [
        f"| {' or '.join(f'`{each}`' for each in names(group, name, field))} "
        f"| {default(group, field)} | {field.description} |"
        for group in (SupabaseSettings, DatabaseSettings, Settings, GatewaySettings, SetupSettings)
        for name, field in group.model_fields.items()
    ]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("`")[1])
def test_a_setting_is_listed_with_its_default_and_its_meaning(row: str) -> None:
    assert row in README.splitlines(), f"the README should have this line:\n{row}"


def test_no_setting_is_listed_that_does_not_exist() -> None:
    listed = [line for line in README.splitlines() if line.startswith("| `MEDIA_ENRICHER_")]

    assert set(listed) <= set(rows())
