"""The pages hold together: links lead somewhere, and settings and commands are all listed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from media_enricher.cli import app
from media_enricher.settings import (
    DatabaseSettings,
    GatewaySettings,
    Settings,
    SetupSettings,
    SupabaseSettings,
)
from tests.markdown import anchors, broken, links

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
READMES = [*sorted((ROOT / "examples").glob("*/README.md")), ROOT / "supabase_local" / "README.md"]
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS, *READMES]
SETTINGS = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8").splitlines()
COMMANDS = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def sources() -> Iterator[Path]:
    """What git holds beside the pages: comments and messages in it may name one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split("\0"):
        file = ROOT / name
        if file.is_file() and file.suffix in {
            ".py",
            ".sql",
            ".toml",
            ".yaml",
            ".js",
            ".html",
            ".example",
        }:
            yield file


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= 10_000, "move what is not needed first to a page of docs/"


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_names_the_command(command: str) -> None:
    assert command in README.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [wrong for link in links(page) if (wrong := broken(link))] == []


@pytest.mark.usefixtures("needs_processes")
def test_every_page_that_code_names_exists() -> None:
    named = {
        (file, name)
        for file in sources()
        for name in re.findall(r"\bdocs/[\w./-]+\.md\b", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 4
    assert [(file, name) for file, name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    linked = {link.file for link in links(README)}
    assert [page for page in DOCS if page not in linked] == []


def test_anchors_are_those_of_the_forge(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Upgrade, and `back`\n## A [link](x.md) #\n```sh\n# no heading\n```\n## Two\n## Two\n"
    )
    assert anchors(page) == {"upgrade-and-back", "a-link", "two", "two-1"}


def test_a_broken_link_is_told_and_one_in_code_is_none(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](#here) [b](#there) [c](gone.md) [d](https://example.com/x) `[e](gone.md)`\n"
        "```\n[f](gone.md)\n```\n[g](page.md#here) [h](page.md#there)\n"
    )
    assert [broken(link) for link in links(page)] == [
        None,
        f"{page}: #there leads to no heading",
        f"{page}: gone.md leads to no file",
        None,
        f"{page}: page.md#there leads to no heading",
    ]


@pytest.mark.parametrize(
    "command",
    typer.main.get_command(app).list_commands(None),  # type: ignore[attr-defined]
)
def test_a_command_is_listed(command: str) -> None:
    assert f"| `media-enricher {command}" in COMMANDS


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
    """The lines of the tables of settings, as they should be."""
    return [
        f"| {' or '.join(f'`{each}`' for each in names(group, name, field))} "
        f"| {default(group, field)} | {field.description} |"
        for group in (SupabaseSettings, DatabaseSettings, Settings, GatewaySettings, SetupSettings)
        for name, field in group.model_fields.items()
    ]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("`")[1])
def test_a_setting_is_listed_with_its_default_and_its_meaning(row: str) -> None:
    assert row in SETTINGS, f"docs/reference/settings.md should have this line:\n{row}"


def test_no_setting_is_listed_that_does_not_exist() -> None:
    listed = [line for line in SETTINGS if line.startswith("| `MEDIA_ENRICHER_")]

    assert set(listed) <= set(rows())
