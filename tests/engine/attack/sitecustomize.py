"""Run by Python at start-up in a decoder of the tests: makes the probe run an attacker's code.

As if a file had taken over the process. The answer is the list of what the code could do.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from media_enricher import probe
from media_enricher.models import AssetStatus, Findings

_KEY = "".join(["sb_sec", "ret_of", "_the_tests"])  # not as such in this process's own code
_healthy = probe.probe_full


def _read(path: str) -> Callable[[], bool]:
    return lambda: bool(Path(path).read_bytes()) or True


def _connect(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    return bool(socket.create_connection((host, int(port)), timeout=1))


def _memory_of(pid: int) -> bool:
    return bool(os.open(f"/proc/{pid}/mem", os.O_RDONLY))


def _traced(pid: int) -> bool:
    return bool(ctypes.CDLL(None).ptrace(16, pid, 0, 0) == 0)  # PTRACE_ATTACH


def _signalled(pid: int) -> bool:
    os.kill(pid, signal.SIGCONT)
    return True


def _signalled_by_the_kernel(pid: int) -> bool:
    """What `kill` is refused, the kernel does for the owner of a descriptor that asks for it."""
    fcntl.fcntl(_local("connection"), fcntl.F_SETOWN, pid)
    return True


def _local(name: str) -> Any:
    """A variable of the decoder's main loop."""
    frame: Any = sys._getframe()
    while frame.f_code.co_name != "_decode_all":
        frame = frame.f_back
    return frame.f_locals[name]


def _fall_silent() -> None:
    """Be at nothing, as far as the worker can see, and never answer."""
    signal.setitimer(signal.ITIMER_PROF, 0)
    _local("word")[:8] = bytes(8)
    while True:
        time.sleep(3600)


def _flood() -> None:
    """Announce a message of 4 GB, send the first MB of it, and wait."""
    _local("connection").sendall(b"\xff\xff\xff\xf0" + bytes(1024 * 1024))
    _fall_silent()


def _forked() -> bool:
    child = os.fork()
    if not child:
        os._exit(0)
    return True


def _second_socket() -> bool:
    sockets = 0
    for number in range(256):
        try:
            sockets += stat.S_ISSOCK(os.fstat(number).st_mode)
        except OSError:
            continue
    return sockets > 1


def _key_in_memory() -> bool:
    holders = [each for each in gc.get_objects() if isinstance(each, (dict, list, tuple))]
    return any(_KEY in str(value) for each in holders[:200_000] for value in _strings(each))


def _strings(holder: Any) -> list[Any]:
    values = holder.values() if isinstance(holder, dict) else holder
    return [value for value in values if isinstance(value, (str, bytes))]


def _attempts(url: str) -> dict[str, Callable[[], bool]]:
    parent = os.getppid()
    return {
        "a key in the environment": lambda: _KEY in str(dict(os.environ)),
        "a key in its memory": _key_in_memory,
        "a socket that is not its own": _second_socket,
        "a file": _read("/etc/passwd"),
        "a module's file": _read(__file__),
        "a new file": lambda: bool(os.open("/tmp/attack", os.O_CREAT | os.O_WRONLY)),
        "its own environment in /proc": _read("/proc/self/environ"),
        "its parent's environment": _read(f"/proc/{parent}/environ"),
        "its parent's memory": lambda: _memory_of(parent),
        "its own memory in /proc": lambda: _memory_of(os.getpid()),
        "a look into its parent": lambda: _traced(parent),
        "a folder": lambda: bool(list(Path("/").iterdir())),
        "a socket": lambda: bool(socket.socket()),
        "a connection": lambda: _connect(url),
        "a socket of this machine": lambda: bool(socket.socket(socket.AF_UNIX)),
        "a signal to its parent": lambda: _signalled(parent),
        "a signal by the kernel's hand": lambda: _signalled_by_the_kernel(parent),
        "a program": lambda: subprocess.run(["/bin/true"], check=False).returncode == 0,
        "a program in its place": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
        "a process": _forked,
    }


def _full(data: Any, **details: Any) -> Any:
    match bytes(data[:8]):
        case b"SILENCE!":
            _fall_silent()
        case b"FLOODING":
            _flood()
    if bytes(data[:8]) != b"ATTACK!!":
        return _healthy(data, **details)
    done = []
    for name, attempt in _attempts(bytes(data[8:]).decode()).items():
        try:
            if attempt():
                done.append(name)
        except OSError:
            pass
    return Findings(status=AssetStatus.ENRICHED, title=json.dumps(done))


probe.probe_full = _full
