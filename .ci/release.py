"""Write a release's commit: its version in every file, and its section of the changelog.

`make release VERSION=1.2.3` calls this, then checks and builds what was committed.

The version is that of `pyproject.toml`. Python reads it there (`importlib.metadata`); files that
cannot, such as the Dockerfile, repeat it, and are brought up to date here. `tests/docker/` compares
them all.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"
CHANGELOG = ROOT / "CHANGELOG.md"
SPEAKERS = ("deployments", "docs", "prefect.yaml", "pyproject.toml")
"""Where the version is repeated, in one of these forms."""
FORMS = ('version = "{}"', "version: {}", "VERSION={}", "media-enricher:{}")

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_UNRELEASED = re.compile(r"^## Unreleased\n(?P<notes>.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)


class ReleaseError(Exception):
    """The release cannot be made. The message says why and what to do."""


def release(version: str) -> None:
    """Check that a release can be made of what is here, and commit it.

    Args:
        version: `1.2.3`; that of `pyproject.toml`, if it was not released yet, or a later one.

    Raises:
        ReleaseError: it cannot. Nothing was changed then.
    """
    current = tomllib.loads(_read(PYPROJECT))["project"]["version"]
    _check_version(version, current)
    _check_tree(version)
    changelog = _with_release(_read(CHANGELOG), version)
    CHANGELOG.write_text(changelog, encoding="utf-8")
    _set_version(current, version)
    _git("commit", "--quiet", "--all", "--message", f"Release {version}")


def _check_version(version: str, current: str) -> None:
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"{version!r} is no version: make release VERSION=1.2.3")
    if _numbers(version) < _numbers(current):
        raise ReleaseError(f"{version} is older than the version of pyproject.toml, {current}")


def _check_tree(version: str) -> None:
    branch = _git("branch", "--show-current").strip()
    if branch != "main":
        raise ReleaseError(f"releases are made on main, and this is {branch or 'no branch'}")
    changed = _git("status", "--porcelain").rstrip()
    if changed:
        raise ReleaseError(f"commit these first, or take them away:\n{changed}")
    if _git("tag", "--list", f"v{version}"):
        raise ReleaseError(f"there is a tag v{version} already: choose a later version")


def _with_release(changelog: str, version: str) -> str:
    """The changelog with what is unreleased under the new version, and nothing unreleased."""
    found = _UNRELEASED.search(changelog)
    if found is None:
        raise ReleaseError("CHANGELOG.md has no section '## Unreleased'")
    notes = found["notes"].strip()
    if all(not line or line.startswith("#") for line in notes.splitlines()):
        raise ReleaseError("CHANGELOG.md has nothing under '## Unreleased': say what is new")
    today = datetime.now(UTC).date().isoformat()
    released = f"## Unreleased\n\n## {version} - {today}\n\n{notes}\n"
    rest = changelog[found.end() :]
    return changelog[: found.start()] + released + (f"\n{rest}" if rest else "")


def _set_version(current: str, version: str) -> None:
    forms = [form.format(re.escape(current)) for form in FORMS]
    repeated = re.compile(rf"(?:{'|'.join(forms)})(?![\w.])")
    for name in _git("ls-files", "-z", *SPEAKERS).split("\0")[:-1]:
        file = ROOT / name
        text = _read(file)
        updated = repeated.sub(lambda found: found[0].replace(current, version), text)
        if updated != text:
            file.write_text(updated, encoding="utf-8")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ReleaseError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    try:
        release(*sys.argv[1:])
    except ReleaseError as error:
        sys.exit(f"No release was made: {error}")
