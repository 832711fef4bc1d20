"""A container engine of the tests' own: Debian's podman, which also speaks Docker's API.

It works as root on a machine where no Docker may be had: set up by a file of its own, with runc for
the containers, and netavark for networks in which they find each other by name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

from supabase_local import children
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
SOCKET_GROUP = 4_242
"""Whose members may use the engine's socket."""
_PROGRAMS = {  # each with its package
    "podman": "podman",
    "runc": "runc",
    "/usr/lib/podman/netavark": "netavark",
    "iptables": "iptables",  # which netavark calls
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "catatonit": "catatonit",
    "debootstrap": "debootstrap",
}
_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]

[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/tmp"
"""


def missing() -> str:
    """Why there can be no engine here; empty if there can."""
    absent = [package for program, package in _PROGRAMS.items() if not shutil.which(program)]
    if absent:
        return f"what is missing comes with `apt-get install {' '.join(absent)}`"
    if os.geteuid() != 0:
        return "podman is set up here for root alone, and debootstrap needs root"
    return ""


class Podman:
    """An engine with its images in a folder, which may be kept from one test run to the next.

    Attributes:
        options: of each call of podman, for others that call it.
        configuration: the environment variables of each call.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self.options = ["--root", f"{self._folder}/images", "--runroot", f"{self._folder}/run"]
        file = self._folder / "containers.conf"
        self.configuration = {"CONTAINERS_CONF": str(file)}
        for state in ("run", "tmp", "networks"):  # of the last time, whose processes are gone
            shutil.rmtree(self._folder / state, ignore_errors=True)
            (self._folder / state).mkdir(parents=True)
        file.write_text(_CONFIGURATION.format(folder=self._folder))

    @property
    def socket(self) -> Path:
        """Where Docker's API is spoken, in a `serving` block."""
        return self._folder / "podman.sock"

    def podman(self, *arguments: str | Path, check: bool = True) -> str:
        """Call podman; what it printed.

        Args:
            arguments: of the command line.
            check: fail the test if it fails.
        """
        done = self._podman(*arguments)
        assert not check or done.returncode == 0, f"podman {arguments[0]}: {done.stderr[-4_000:]}"
        return done.stdout

    def has_image(self, image: str) -> bool:
        """Whether it is there."""
        return self._podman("image", "exists", image).returncode == 0

    def build(self, dockerfile: Path, tag: str, context: Path, *options: str) -> None:
        """Build an image."""
        # On the host's network, for that is where an index or a proxy of this machine is.
        build = ("build", "--format", "docker", "--network", "host", "--tag", tag, *options)
        self.podman(*build, "--file", dockerfile, context)

    def inspect(self, image: str) -> dict[str, Any]:
        """All about an image."""
        (found,) = json.loads(self.podman("image", "inspect", image))
        assert isinstance(found, dict)
        return found

    def run(self, image: str, script: str) -> str:
        """Run a shell script in a container of its own; what it printed."""
        return self.podman("run", "--rm", "--no-healthcheck", image, "sh", "-c", script)

    def is_healthy(self, container: str) -> bool:
        """Run the container's health check."""
        return self._podman("healthcheck", "run", container).returncode == 0

    def gateway_of(self, network: str) -> str:
        """The address at which containers of a network reach this machine."""
        (found,) = json.loads(self.podman("network", "inspect", network))
        return str(found["subnets"][0]["gateway"])

    @contextmanager
    def serving(self) -> Iterator[docker.DockerClient]:
        """Speak Docker's API while the block runs; no container outlives it."""
        self.socket.unlink(missing_ok=True)
        service = children.spawn(
            ["podman", *self.options, "system", "service", "--time=0", f"unix://{self.socket}"],
            log=self._folder / "service.log",
            environment=self.configuration,
        )
        try:
            log = self._folder / "service.log"
            wait_for(lambda: self.socket.exists() or service.poll() is not None, log.read_text)
            assert service.poll() is None, log.read_text()
            os.chown(self.socket, 0, SOCKET_GROUP)
            self.socket.chmod(0o660)
            client = docker.DockerClient(base_url=f"unix://{self.socket}", timeout=60)
            yield client
            client.close()
        finally:
            self.podman("rm", "--all", "--force", "--time", "1", check=False)
            self.podman("network", "prune", "--force", check=False)
            children.stop(service)

    def _podman(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", *self.options, *(str(argument) for argument in arguments)],
            env=os.environ | self.configuration,
            capture_output=True,
            text=True,
            check=False,
        )
