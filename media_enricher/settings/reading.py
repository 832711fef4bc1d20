"""Read a group of settings, and explain values that are missing or invalid."""

from __future__ import annotations

from typing import TypeVar, get_args

from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict


class FromEnvironment(BaseSettings):
    """A group of settings, each a variable in the environment or in `.env`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", populate_by_name=True)


class SettingsError(Exception):
    """A setting is missing or invalid. The message names it, its value and what to do."""


_Group = TypeVar("_Group", bound=FromEnvironment)


def read(group: type[_Group]) -> _Group:
    """Read a group of settings from the environment.

    Raises:
        SettingsError: a value is missing or invalid.
    """
    try:
        return group()
    except ValidationError as invalid:
        raise SettingsError(
            "; ".join(_sentence(group, error) for error in invalid.errors())
        ) from None


def _sentence(group: type[FromEnvironment], error: ErrorDetails) -> str:
    """Describe one validation error with the name of the variable; never show a secret's value."""
    name = str(error["loc"][0]) if error["loc"] else group.__name__
    field = group.model_fields.get(name.lower())
    if field is None:
        by_alias = {
            alias: candidate
            for candidate in group.model_fields.values()
            for alias in _environment_names(candidate, "")
        }
        field = by_alias.get(name)
    if field is None:
        return f"{name}: {error['msg']}"
    prefix = str(group.model_config.get("env_prefix", ""))
    variable = _environment_names(field, f"{prefix}{name}".upper())[0]
    if error["type"] == "missing":
        return f"{variable} is not set. {field.description} Set it in the environment or in .env."
    value = "" if _is_secret(field) else f" = {error['input']!r}"
    return f"{variable}{value} is invalid: {error['msg']}. {field.description}"


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _environment_names(field: FieldInfo, otherwise: str) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias)] if alias else [otherwise]
