"""A container engine of the tests' own: Debian's podman, which speaks Docker's API.

It works as root where no Docker may be had, and no image be pulled: a base image is made of
Debian's own packages, in the name of the one that the Dockerfile starts from.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

from media_enricher.local import children
from tests.docker.indexes import pip_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deployments" / "Dockerfile"
PROGRAMS = ("podman", "runc", "debootstrap")
_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
netns = "host"

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
"""


def missing() -> str:
    """Why there can be no engine here; empty if there can."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: apt-get install {' '.join(PROGRAMS)})"
    if os.geteuid() != 0:
        return "podman is set up here for root alone, and debootstrap needs root"
    return ""


def base_image() -> str:
    """The image that the Dockerfile starts from."""
    found = re.search(r"^FROM (\S+) AS python$", DOCKERFILE.read_text(), re.MULTILINE)
    assert found, "the Dockerfile's first stage is named python"
    return found[1]


class Podman:
    """An engine with its images and containers in a folder, which may be kept from test to test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._configuration = self._folder / "containers.conf"
        for state in ("run", "tmp"):  # of the last time, and of processes that are gone
            shutil.rmtree(self._folder / state, ignore_errors=True)
            (self._folder / state).mkdir(parents=True)
        (self._folder / "podman.sock").unlink(missing_ok=True)
        self._configuration.write_text(_CONFIGURATION.format(folder=self._folder))

    @property
    def environment(self) -> dict[str, str]:
        """What makes Docker's clients use this engine, while it serves."""
        return {"DOCKER_HOST": f"unix://{self._folder}/podman.sock"}

    def build(self, tag: str) -> None:
        """Build the Dockerfile, as it is, on a base image made here."""
        if self._run("image", "exists", base_image(), check=False).returncode != 0:
            self._make_base_image()
        with tempfile.TemporaryDirectory() as secrets:
            pip = Path(secrets) / "pip.conf"
            pip.write_text(pip_settings())
            # On the host's network, for that is where an index or a proxy of this machine is.
            self._run(
                *("build", "--format", "docker", "--network", "host", "--tag", tag),
                *("--file", DOCKERFILE),
                *("--secret", f"id=pip,src={pip}", "--secret", f"id=ca,src={_CERTIFICATES}"),
                ROOT,
            )

    def inspect(self, image: str) -> dict[str, Any]:
        """All about an image."""
        (found,) = json.loads(self._run("image", "inspect", image).stdout)
        assert isinstance(found, dict)
        return found

    def run(self, image: str, *command: str, **environment: str) -> str:
        """Run a command in a container of its own, on this machine's network; what it printed."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        return self._run("run", "--rm", "--no-healthcheck", *variables, image, *command).stdout

    @contextmanager
    def serving(self) -> Iterator[docker.DockerClient]:
        """Speak Docker's API at a socket while the block runs; no container outlives it."""
        service = children.spawn(
            [
                *self._command(),
                "system",
                "service",
                "--time=0",
                f"unix://{self._folder}/podman.sock",
            ],
            log=self._folder / "service.log",
            environment=self._environment(),
        )
        try:
            self._wait_until_serving(service)
            client = docker.DockerClient(base_url=self.environment["DOCKER_HOST"], timeout=60)
            yield client
            client.close()
        finally:
            self._run("rm", "--all", "--force", "--time", "1", check=False)
            children.stop(service)

    def _wait_until_serving(self, service: subprocess.Popen[bytes]) -> None:
        while not (self._folder / "podman.sock").exists():
            assert service.poll() is None, (self._folder / "service.log").read_text()
            time.sleep(0.05)

    def _make_base_image(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            system = Path(folder) / "system"
            subprocess.run(
                [
                    *("debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}"),
                    *("bookworm", str(system)),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            for unused in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc"):
                shutil.rmtree(system / unused)
            archive = Path(folder) / "system.tar"
            subprocess.run(["tar", "-C", str(system), "-cf", str(archive), "."], check=True)
            self._run("import", archive, base_image())

    def _run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._command(), *(str(argument) for argument in arguments)],
            env=os.environ | self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"podman {arguments[0]}: {done.stderr[-4_000:]}"
        return done

    def _command(self) -> list[str]:
        return ["podman", "--root", f"{self._folder}/images", "--runroot", f"{self._folder}/run"]

    def _environment(self) -> Mapping[str, str]:
        return {"CONTAINERS_CONF": str(self._configuration)}
