"""`make release` in a clone: what it commits and builds, and what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.package.conftest import copy_of_the_project

pytestmark = pytest.mark.usefixtures("needs_processes")

CHANGELOG = """# Changelog

## Unreleased

### Added

- It reads PCX.

## 0.1.0 - 2026-01-02

- The first one.
"""

CHECK = """
check:
\t@echo checked $$(git log -1 --format=%s) >>.venv/checks
\t@test ! -e .venv/fails
"""
"""In place of the checks, which take minutes here: whether they ran, and if they fail."""

IN_TEN_YEARS = time.time() + 10 * 365 * 86_400


class Clone:
    """A repository with all of the project, on `main`, whose tools are those of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(cls, folder: Path) -> Clone:
        copy_of_the_project(folder)
        clone = cls(folder)
        clone.write("Makefile", clone.read("Makefile") + CHECK)
        clone.write("CHANGELOG.md", CHANGELOG)
        clone._install()
        clone.git("init", "--quiet", "--initial-branch", "main")
        clone.git("config", "user.name", "Ada")
        clone.git("config", "user.email", "ada@example.com")
        clone.commit("The project")
        return clone

    def _install(self) -> None:
        """What makes `make setup` find all in place; git ignores it, as it does in a checkout."""
        binaries = self.folder / ".venv" / "bin"
        binaries.mkdir(parents=True)
        python = binaries / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        stamps = [binaries.parent / name for name in (".requirements", ".project")]
        for lock in self.folder.glob("**/postgrest/package-lock.json"):
            stamps.append(lock.parent / "node_modules" / ".package-lock.json")
        for stamp in stamps:
            stamp.parent.mkdir(exist_ok=True)
            stamp.touch()
            # Newer than what a release writes: this environment is not the clone's to install into.
            os.utime(stamp, (IN_TEN_YEARS, IN_TEN_YEARS))

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def release(self, version: str) -> tuple[int, str]:
        """Run `make release`; its exit code, and what it printed."""
        done = subprocess.run(
            ["make", "release", f"VERSION={version}"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone.make(tmp_path_factory.mktemp("untouched"))


@pytest.fixture
def clone(untouched: Clone, tmp_path: Path) -> Clone:
    """One's own; to copy one takes less than to make one."""
    shutil.copytree(untouched.folder, tmp_path / "clone", symlinks=True)
    return Clone(tmp_path / "clone")


def test_it_commits_the_version_and_the_changelog_and_builds(clone: Clone) -> None:
    code, said = clone.release("1.2.3")

    assert code == 0, said
    assert clone.git("log", "-1", "--format=%s") == "Release 1.2.3"
    assert clone.git("status", "--porcelain") == ""
    assert tomllib.loads(clone.read("pyproject.toml"))["project"]["version"] == "1.2.3"
    today = datetime.now(UTC).date()
    assert clone.read("CHANGELOG.md") == CHANGELOG.replace(
        "## Unreleased\n", f"## Unreleased\n\n## 1.2.3 - {today}\n"
    )
    assert clone.read(".venv/checks") == "checked Release 1.2.3\n"
    assert sorted(file.name for file in (clone.folder / "dist").iterdir()) == [
        "media_enricher-1.2.3-py3-none-any.whl",
        "media_enricher-1.2.3.tar.gz",
    ]


def test_no_file_speaks_of_the_version_before(clone: Clone) -> None:
    before = tomllib.loads(clone.read("pyproject.toml"))["project"]["version"]
    forms = rf"(media-enricher:|VERSION=|^version = .|^ +version: ){re.escape(before)}"
    search = ("grep", "--extended-regexp", "--name-only", forms)
    files = set(clone.git(*search).splitlines())
    assert files > {"pyproject.toml", "prefect.yaml", "deployments/work_pools/docker.json"}

    clone.release("1.2.3")

    assert set(clone.git("show", "--format=", "--name-only").splitlines()) == {
        *files,
        "CHANGELOG.md",
    }
    assert before not in "".join(clone.read(file) for file in files if file.startswith("deploy"))


def test_it_says_how_to_tag_and_push_and_does_neither(clone: Clone) -> None:
    _, said = clone.release("1.2.3")

    assert [line.strip() for line in said.splitlines()[-2:]] == [
        "git tag --annotate v1.2.3 --message 'Media Enricher 1.2.3'",
        "git push --atomic origin main v1.2.3",
    ]
    assert clone.git("tag") == ""


def test_the_first_release_may_have_the_version_that_is_there(clone: Clone) -> None:
    version = tomllib.loads(clone.read("pyproject.toml"))["project"]["version"]

    code, said = clone.release(version)

    assert code == 0, said
    assert clone.git("show", "--format=%s", "--name-only") == f"Release {version}\n\nCHANGELOG.md"


def untidy(clone: Clone) -> None:
    clone.write("README.md", "Changed.")


def with_a_new_file(clone: Clone) -> None:
    clone.write("flows/new.py", "")


def on_a_branch(clone: Clone) -> None:
    clone.git("switch", "--quiet", "--create", "work")


def already_tagged(clone: Clone) -> None:
    clone.git("tag", "v1.2.3")


def with_nothing_new(clone: Clone) -> None:
    clone.write("CHANGELOG.md", CHANGELOG.replace("- It reads PCX.\n", ""))
    clone.commit("Nothing is new")


def without_a_section(clone: Clone) -> None:
    clone.write("CHANGELOG.md", CHANGELOG.replace("## Unreleased", "## Soon"))
    clone.commit("No section")


def as_it_is(clone: Clone) -> None:
    """Nothing is wrong with it."""


@pytest.mark.parametrize(
    ("state", "version", "reason"),
    [
        (untidy, "1.2.3", "README.md"),
        (with_a_new_file, "1.2.3", "flows/new.py"),
        (on_a_branch, "1.2.3", "releases are made on main, and this is work"),
        (already_tagged, "1.2.3", "there is a tag v1.2.3 already"),
        (with_nothing_new, "1.2.3", "nothing under '## Unreleased'"),
        (without_a_section, "1.2.3", "no section '## Unreleased'"),
        (as_it_is, "0.0.9", "0.0.9 is older than the version of pyproject.toml"),
        (as_it_is, "v1.2.3", "'v1.2.3' is no version: make release VERSION=1.2.3"),
        (as_it_is, "", "'' is no version: make release VERSION=1.2.3"),
    ],
)
def test_it_refuses_and_changes_nothing(
    clone: Clone, state: Callable[[Clone], None], version: str, reason: str
) -> None:
    state(clone)
    before = clone.git("log", "-1", "--format=%H"), clone.git("diff")

    code, said = clone.release(version)

    assert code != 0
    assert reason in said
    assert (clone.git("log", "-1", "--format=%H"), clone.git("diff")) == before
    assert not (clone.folder / "dist").exists()


def test_where_the_checks_fail_it_says_how_to_take_the_commit_back(clone: Clone) -> None:
    (clone.folder / ".venv" / "fails").touch()
    before = clone.git("rev-parse", "HEAD")

    code, said = clone.release("1.2.3")

    assert code != 0
    assert "git tag" not in said
    assert not (clone.folder / "dist").exists()
    assert "To take it back: git reset --keep HEAD~1" in said
    clone.git("reset", "--keep", "HEAD~1")
    assert clone.git("rev-parse", "HEAD") == before
    assert clone.read("CHANGELOG.md") == CHANGELOG
