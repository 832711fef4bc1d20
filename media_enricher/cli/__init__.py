"""The command line: `media-enricher …`. One file per command; this one only names them.

A command's file is imported when the command runs, or when its help is shown: all of them together
take 0.7 s of processor time, most of which goes into what the other commands need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from media_enricher.cli.local import without_extra

_OF_A_FUNCTION = (
    *("demo", "up", "backfill", "doctor", "migrate", "probe", "recount", "repair-types"),
    *("runs", "serve", "setup", "snapshot"),
)
_OF_A_GROUP = ("changes", "local", "project-admins")
_NEED_EXTRA = ("demo", "up")
"""Those that can't be imported where the extra `local` is not installed, as on a server."""


class _Commands(Mapping[str, Any]):
    """The commands, each imported when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        if name in _OF_A_GROUP:
            group = typer.main.get_group(_imported(name, "app"))
            group.name = name
            return group
        if name not in _OF_A_FUNCTION:
            raise KeyError(name)
        try:
            function = _imported(name, name.replace("-", "_"))
        except ImportError as missing:
            if name not in _NEED_EXTRA:
                raise
            function = without_extra(missing)
        alone = typer.Typer(add_completion=False)
        alone.command(name)(function)
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter((*_OF_A_FUNCTION, *_OF_A_GROUP))

    def __len__(self) -> int:
        return len((*_OF_A_FUNCTION, *_OF_A_GROUP))


def _imported(name: str, attribute: str) -> Any:
    return getattr(import_module(f"{__name__}.{name.replace('-', '_')}"), attribute)


class _Group(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]  # nobody adds to it


app = typer.Typer(
    name="media-enricher",
    cls=_Group,
    help="Metadata for every object of a Supabase Storage bucket.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold keys
)


@app.callback()
def _group() -> None:
    """Without a command of its own, Typer asks for one function at least."""
