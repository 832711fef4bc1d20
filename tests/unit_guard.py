"""Unit tests stay unit tests: a plugin that gives them no network and no other process.

It watches a test from its first fixture to its last, those of modules and sessions included.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from tests.needs import UNIT

ADVICE = 'Let it use the fixture of what it needs, or pytest.mark.usefixtures("needs_{}").'


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if item.get_closest_marker(UNIT) is None:
        return (yield)
    with nothing_outside():
        return (yield)


@contextmanager
def nothing_outside() -> Iterator[None]:
    """No connection leads out of this process, and no other process starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _only_inside(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", _only_inside(socket.socket.connect_ex))
        patch.setattr(subprocess.Popen, "__init__", _no_process)
        patch.setattr(os, "fork", _no_process)
        yield


def _only_inside(connect: Any) -> Any:
    """Refuse what would reach anything but a server of this process, as if nobody listened."""

    def connect_inside(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_ours(address[1]):
            raise ConnectionRefusedError(
                errno.ECONNREFUSED,
                f"Connection refused: this test needs a mark. It connects to {address[0]}:"
                f"{address[1]}, which is no server of its own process. {ADVICE.format('stack')}",
            )
        return connect(self, address)

    return connect_inside


def _is_ours(port: int) -> bool:
    """Whether this process listens there."""
    import psutil

    connections = psutil.Process().net_connections("tcp")
    return any(c.laddr.port == port for c in connections if c.status == psutil.CONN_LISTEN)


def _no_process(_: object = None, command: Any = "a fork of this one", **__: object) -> NoReturn:
    """Refuse to start a process, and so Postgres or a Prefect server."""
    begin = command if isinstance(command, str) else [str(each) for each in command][:4]
    raise AssertionError(
        f"this test needs a mark: it starts a process, {begin}. {ADVICE.format('processes')}"
    )
