"""docs/reference/cli.md: from the commands and their `--help` texts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import PurePath
from typing import Any, get_args

import typer

from docs.tools.tables import code, table
from media_enricher.cli import app

TEMPLATE = """\
# Commands

`media-enricher COMMAND --help` says the same in the terminal. In a checkout, the program is `.venv/bin/media-enricher`.

{overview}

{commands}
"""  # noqa: E501

# Where a command is explained with its whole work.
MORE = {
    "backfill": "[run a backfill](../guides/backfill.md)",
    "demo": "[the demo](../guides/local.md#the-demo)",
    "doctor": "[doctor](../guides/doctor.md)",
    "migrate": "[your project](../guides/hosted-supabase.md)",
    "probe": "[metadata fields](metadata-fields.md)",
    "runs": "[operate](../guides/operate.md)",
    "serve": "[runs over HTTP](../guides/runs-over-http.md)",
    "setup": "[what the set-up makes](../guides/deploy.md#what-the-set-up-makes)",
    "snapshot": "[the figures of a run](../guides/snapshots.md#the-figures-of-a-run)",
    "up": "[run everything on your machine](../guides/local.md#everything-until-ctrl-c)",
}

# Typer has click inside under a name of its own, so that its types can't be named here.
Command = Any
Parameter = Any


def page() -> str:
    """The text of the page."""
    program = typer.main.get_command(app)
    commands = list(_commands(program, "media-enricher"))
    return TEMPLATE.format(
        overview=table(
            ("command", "what it does", "more"),
            (
                (f"[{code(path)}](#{_anchor(path)})", _summary(command), MORE.get(_word(path), ""))
                for path, command in commands
            ),
        ),
        commands="\n\n".join(_section(path, command) for path, command in commands),
    )


def _commands(group: Command, path: str) -> Iterator[tuple[str, Command]]:
    """The commands of a group and of the groups in it, by their whole names."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _section(path: str, command: Command) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join([path, *map(_usage, arguments), *(["[OPTIONS]"] if options else [])])
    parts = [f"## {path}", f"```\n{usage}\n```", inspect.cleandoc(command.help or "")]
    if command.params:
        parts.append(
            table(
                ("argument or option", "default", "what it is"),
                ((_names(each), _default(each), each.help or "") for each in arguments + options),
            )
        )
    return "\n\n".join(parts)


def _summary(command: Command) -> str:
    """The first paragraph of the help text."""
    return inspect.cleandoc(command.help or "").partition("\n\n")[0]


def _usage(argument: Parameter) -> str:
    name = _metavar(argument)
    return name if argument.required else f"[{name}]"


def _metavar(parameter: Parameter) -> str:
    return str(parameter.metavar or parameter.name).strip("[]{}").upper()


def _names(parameter: Parameter) -> str:
    if parameter.param_type_name == "argument":
        return code(_metavar(parameter))
    value = "" if parameter.is_flag else f" {_value(parameter)}"
    return ", ".join(
        code(f"{name}{value}") for name in [*parameter.opts, *parameter.secondary_opts]
    )


def _value(option: Parameter) -> str:
    """What stands for the value of an option: its choices, or the kind of it."""
    if option.metavar:
        return str(option.metavar)
    annotation = option.type_descriptor.annotation
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    kind = kinds[0]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return "PATH"
    name = str(kind.__name__)
    return {"int": "NUMBER", "float": "NUMBER", "str": "TEXT"}.get(name, name)


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value in (None, False, "") or callable(value) or parameter.nargs != 1:
        return ""
    return code(value.value if isinstance(value, Enum) else value)


def _word(path: str) -> str:
    """A command's name without the program's."""
    return path.partition(" ")[2]


def _anchor(path: str) -> str:
    return path.replace(" ", "-")
