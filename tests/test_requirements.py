"""What a fresh machine installs is what the project says it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
    return {name(requirement) for each in lists for requirement in each}


def name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def pinned(file: str) -> set[str]:
    return {name(line) for line in (ROOT / file).read_text().splitlines() if "==" in line}


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("requirements.txt", ("metrics",)),
        ("requirements-dev.txt", ("dask", "dev", "local", "metrics", "ray")),
    ],
)
def test_every_dependency_is_pinned_with_hashes_and_nothing_but_that(
    file: str, extras: tuple[str, ...]
) -> None:
    missing = declared(*extras) - pinned(file)
    assert not missing, f"run `make lock`: {file} lacks {missing}"
    lines = (ROOT / file).read_text().splitlines()
    for number, line in enumerate(lines):
        is_hash = re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line)
        is_pin = re.match(r"[\w.-]+(\[\w+\])?==[\w.]+.* \\$", line)
        assert is_hash or (is_pin and "--hash" in lines[number + 1]), f"{file}: {line}"
    assert "://" not in "".join(lines)


def test_both_sets_pin_the_same_versions() -> None:
    runtime, everything = (
        {line for line in (ROOT / file).read_text().splitlines() if "==" in line}
        for file in ("requirements.txt", "requirements-dev.txt")
    )
    assert runtime <= everything


def test_the_lowest_prefect_that_is_allowed_is_the_one_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (prefect,) = (each for each in project["dependencies"] if name(each) == "prefect")
    lowest = re.match(r"prefect>=([\d.]+),<", prefect)
    assert lowest, prefect
    lines = (ROOT / "requirements-lowest.txt").read_text().splitlines()
    assert f"prefect=={lowest[1]} \\" in lines, "run `make lock`"
    unhashed = {line for line in lines if "==" not in line and "--hash=sha256:" not in line}
    assert not unhashed


FLOORS = {"aiohttp", "pillow", "pyarrow", "python-multipart"}
"""What reads strangers' bytes, and has had a hole that an advisory names."""


def test_a_parser_with_a_known_hole_has_a_floor_that_the_pins_keep() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    floors = {
        name(found[1]): (found[2], line)
        for line in lines
        if (found := re.match(r'\s+"([\w.-]+)>=([\d.]+)"', line))
    }
    assert floors.keys() >= FLOORS
    pins = {
        name(line): line.partition("==")[2].split()[0]
        for line in (ROOT / "requirements-dev.txt").read_text().splitlines()
        if "==" in line
    }
    for package in FLOORS:
        floor, line = floors[package]
        assert re.search(r"# (GHSA|CVE)-", line), f"{package}: the floor names no advisory"
        assert _numbers(pins[package]) >= _numbers(floor), f"{package}: pinned below its floor"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
