"""What strangers are told about the project is true: paths, targets, workflows and templates."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
GUIDES = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", ".github/pull_request_template.md")
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"

_SUFFIXES = ("json", "md", "py", "sql", "toml", "txt", "ya?ml")
_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(rf"[\w.-]+(/[\w.*-]*)+|[\w-]+\.({'|'.join(_SUFFIXES)})")
_MAKE = re.compile(r"\bmake(?: [A-Z]+=\S+)* ([a-z][a-z-]*)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def parsed(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.yaml.decode(file.read_bytes())
    return found


def code_of(text: str) -> list[str]:
    """The pieces of code in Markdown: fenced blocks, and what is between backticks."""
    return _FENCED.findall(text) + _CODE.findall(_FENCED.sub("", text))


def paths_in(text: str) -> set[str]:
    """What is between backticks and looks like a path of the project, and the targets of links."""
    inline = {code for code in _CODE.findall(_FENCED.sub("", text)) if _PATH.fullmatch(code)}
    links = {link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link}
    return inline | (links - {""})


def targets_in(pieces: list[str]) -> set[str]:
    return {target for piece in pieces for target in _MAKE.findall(piece)}


def is_there(path: str) -> bool:
    if path.endswith("/"):
        return (ROOT / path).is_dir()
    return any(found.is_file() for found in ROOT.glob(path))


def named_paths() -> Iterator[Any]:
    for guide in GUIDES:
        for path in sorted(paths_in(read(guide))):
            yield pytest.param(guide, path, id=f"{guide}: {path}")


def steps_of(file: Path) -> list[dict[str, Any]]:
    return [step for job in parsed(file)["jobs"].values() for step in job["steps"]]


def runs_of(file: Path) -> list[str]:
    """The commands of a workflow; none of any other file."""
    return [step.get("run", "") for step in steps_of(file)] if file in WORKFLOWS else []


@pytest.mark.parametrize(("guide", "path"), list(named_paths()))
def test_a_path_that_a_guide_names_is_there(guide: str, path: str) -> None:
    assert is_there(path), f"{guide} names {path}, and there is no such file or folder"


def test_paths_are_told_from_other_code() -> None:
    text = "`a/b.py` `a/` `sql/*.sql` `x.md` `make x` `/route` `a.b` `Findings` [x](y.md#z) [w](#w)"

    assert paths_in(text) == {"a/b.py", "a/", "sql/*.sql", "x.md", "y.md"}
    assert len(paths_in(read("CONTRIBUTING.md"))) > 40


def test_the_six_answers_are_one_path_each() -> None:
    section = read("CONTRIBUTING.md").partition("## Where does it go?")[2].partition("\n## ")[0]
    answers = re.findall(r"^\| (?!-|what)(.+?) \| (.+) \|$", section, re.MULTILINE)

    assert len(answers) == 6
    for question, answer in answers:
        assert re.fullmatch(r"`[^`]+`", answer), f"{question}: {answer}"
        assert paths_in(answer), f"{question}: {answer} is no path"


@pytest.mark.parametrize(
    "file", [*GUIDES, *WORKFLOWS, *FORMS, HOOKS], ids=lambda file: Path(file).name
)
def test_a_make_target_that_is_named_is_in_the_makefile(file: str | Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE))
    pieces = code_of((ROOT / file).read_text(encoding="utf-8")) + runs_of(ROOT / file)

    assert targets_in(pieces) <= targets


def test_targets_are_found_wherever_code_is() -> None:
    assert targets_in(["make PYTHON=python3.12 setup", 'make test ARGS="-n 0"']) == {
        "setup",
        "test",
    }
    assert {"setup", "check", "test"} <= targets_in(code_of(read("CONTRIBUTING.md")))
    runs = [command for file in WORKFLOWS for command in runs_of(file)]
    assert {"setup", "check", "test"} <= targets_in(runs)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_only_read_and_comes_to_an_end(file: Path) -> None:
    workflow = parsed(file)

    assert workflow["permissions"] == {"contents": "read"}
    assert "${{ github.ref }}" in workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert 0 < job["timeout-minutes"] <= 60, name
        assert "permissions" not in job, name
    for step in steps_of(file):
        assert ("uses" in step) != ("run" in step), step
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w/-]+@v\d+", step["uses"]), step["uses"]
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", ["unit.yml", "full.yml"])
def test_the_suite_runs_on_each_python_that_is_supported(name: str) -> None:
    (job,) = parsed(GITHUB / "workflows" / name)["jobs"].values()
    oldest = tomllib.loads(read("pyproject.toml"))["project"]["requires-python"]

    assert oldest == f">={job['strategy']['matrix']['python'][0]}"
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.name)
def test_an_issue_form_is_one_that_github_takes(file: Path) -> None:
    form = parsed(file)
    if file.name == "config.yml":
        assert form == {"blank_issues_enabled": False}
        return
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert any(field["validations"]["required"] for field in fields if "validations" in field)
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names)
    assert all(field["attributes"]["label"] for field in fields)


def test_the_bug_form_asks_for_what_is_needed() -> None:
    form = read(".github/ISSUE_TEMPLATE/bug.yml")

    for needed in ("media-enricher doctor", "error_code", "label: Versions"):
        assert needed in form


def test_hooks_run_what_the_project_pins_and_need_no_network() -> None:
    pins = re.findall(r"^([\w.-]+)==", read("requirements-dev.txt"), re.MULTILINE)
    (local,) = parsed(HOOKS)["repos"]

    assert local["repo"] == "local"
    for hook in local["hooks"]:
        assert hook["language"] in {"system", "pygrep", "fail"}, hook["id"]
        if hook["language"] == "system":
            program, *_ = hook["entry"].split()
            assert program.startswith(".venv/bin/"), hook["id"]
            assert program.removeprefix(".venv/bin/") in pins, hook["id"]
    assert {"ruff-check", "ruff-format", "mypy"} <= {hook["id"] for hook in local["hooks"]}


def test_the_license_goes_with_the_package_and_the_image() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]

    assert project["license"] == "Apache-2.0"
    assert "Copyright 2026 The Media Enricher authors" in read("LICENSE")
    for file in project["license-files"]:
        assert is_there(file)
        assert f"!{file}" in read(".dockerignore").splitlines(), (
            "the image is built from the package"
        )


def test_the_changelog_begins_with_what_is_unreleased() -> None:
    first = re.search(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)

    assert first
    assert first[1] == "Unreleased"
