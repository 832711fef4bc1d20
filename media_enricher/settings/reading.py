"""Reading a group of settings, and the messages about values that are missing or invalid."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar, get_args

from dotenv import dotenv_values
from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

_logger = logging.getLogger(__name__)
_ENV_FILE = ".env"


class FromEnvironment(BaseSettings):
    """A group of settings, each of which is a variable of the environment or of `.env`.

    A setting that was renamed keeps its old name as a later choice of its alias.
    """

    model_config = SettingsConfigDict(env_file=_ENV_FILE, extra="ignore", populate_by_name=True)


class SettingsError(Exception):
    """A setting is missing or invalid. The message names it, its value and what to do."""


class Variable(NamedTuple):
    """A variable that is set and not empty."""

    name: str
    value: str


_Group = TypeVar("_Group", bound=FromEnvironment)


def read(group: type[_Group]) -> _Group:
    """Read a group, and log a warning for each old name that is in use.

    Raises:
        SettingsError: a value is missing or invalid.
    """
    for old, new in _old_names(group):
        if variable_in_use([old]):
            _logger.warning("%s is the old name of a setting. Rename it to %s.", old, new)
    try:
        return group()
    except ValidationError as invalid:
        raise SettingsError(
            "; ".join(_sentence(group, error) for error in invalid.errors())
        ) from None


def names_of_settings(group: type[FromEnvironment]) -> list[list[str]]:
    """The variables that each setting of a group is read from. The first is its name now."""
    return [_environment_names(group, name, field) for name, field in group.model_fields.items()]


def variable_in_use(names: Sequence[str]) -> Variable | None:
    """The variable that a setting with these names is read from: the environment wins."""
    for source in (os.environ, dotenv_values(_ENV_FILE)):
        for name in names:
            if value := source.get(name):
                return Variable(name, value)
    return None


def _old_names(group: type[FromEnvironment]) -> Iterator[tuple[str, str]]:
    """Old names of settings, each with the name that replaced it.

    Only names with our own prefix are ours to change; another alias is a name of somebody else.
    """
    prefix = group.model_config.get("env_prefix")
    for new, *others in names_of_settings(group):
        for other in others:
            if prefix and other.startswith(prefix):
                yield other, new


def _sentence(group: type[FromEnvironment], error: ErrorDetails) -> str:
    """One validation error in the terms of the environment; never the value of a secret."""
    location = str(error["loc"][0]) if error["loc"] else group.__name__
    for name, field in group.model_fields.items():
        names = _environment_names(group, name, field)
        if location in (name, *names):
            break
    else:
        return f"{location}: {error['msg']}"
    if error["type"] == "missing":
        return f"{names[0]} is not set. {field.description} Set it in the environment or in .env."
    variable = used.name if (used := variable_in_use(names)) else names[0]
    value = "" if _is_secret(field) else f" = {error['input']!r}"
    return f"{variable}{value} is invalid: {error['msg']}. {field.description}"


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _environment_names(group: type[FromEnvironment], name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    if alias:
        return [str(alias)]
    return [f"{group.model_config.get('env_prefix', '')}{name}".upper()]
