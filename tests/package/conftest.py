"""The package as strangers get it: built from what git holds, and installed on its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]


def copy_of_the_project(folder: Path) -> None:
    """Copy what git holds, as it is now: no build of before, and no file that was not added."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0")[:-1]:
        source, target = ROOT / name, folder / name
        if source.is_symlink() or source.exists():  # else it is removed, and git not told yet
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


@pytest.fixture(scope="session")
def distributions(needs_processes: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel, built as `make dist` does: one from the other."""
    project = tmp_path_factory.mktemp("project")
    copy_of_the_project(project)
    run([sys.executable, "-m", "build", "--no-isolation"], project, os.environ)
    return project / "dist"


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    (built,) = distributions.glob("*.whl")
    return built


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> str:
    """Run a program that must succeed; what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


class Installation:
    """A virtual environment with our wheel, and an empty folder to work in.

    Its dependencies are those of the environment that the tests run in: to install them again would
    need the network and minutes. A `.pth` file names their folder. Python reads no `.pth` file of a
    folder that is named so, and one of those is all that leads to the checkout (the project is
    installed in editable form), so here it is not found.

    Attributes:
        folder: where commands are run; nothing of the project is in it.
        packages: its site-packages.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        environment = folder / "venv"
        venv.create(environment, symlinks=True)
        paths = {"base": str(environment), "platbase": str(environment)}
        self.packages = Path(sysconfig.get_path("purelib", "venv", paths))
        self.folder = folder / "empty"
        self.folder.mkdir()
        self._binaries = environment / "bin"
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", self.program("python")]
        offline = ["--no-deps", "--no-index", "--disable-pip-version-check", "--no-compile"]
        run([*pip, "install", "--quiet", *offline, wheel], self.folder, os.environ)
        # Only now, or pip takes the editable project for an older version of this one.
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def program(self, name: str) -> Path:
        return self._binaries / name

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """That of a shell in which this environment is active, and no other."""
        others = str(Path(sys.executable).parent)
        path = [each for each in os.environ["PATH"].split(os.pathsep) if each != others]
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "PYTHON", "SUPABASE_", "MEDIA_ENRICHER_"))
        }
        return {
            **inherited,
            "PATH": os.pathsep.join([str(self._binaries), *path]),
            "VIRTUAL_ENV": str(self._binaries.parent),
            "COLUMNS": "200",
            **settings,
        }

    def run(self, settings: Mapping[str, str], program: str, *arguments: str) -> str:
        """Run a program of the environment that must succeed; what it printed."""
        return run([self.program(program), *arguments], self.folder, self.environment(settings))

    @contextmanager
    def running(
        self, settings: Mapping[str, str], log: Path, program: str, *arguments: str
    ) -> Iterator[None]:
        """A program that runs until the block is left."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self.program(program), *arguments],
                cwd=self.folder,
                env=self.environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("installation"), wheel)
