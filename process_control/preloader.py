"""Processes that need not import anything: they are forked from one that has imported it all.

That one, the preloader, calls `serve`. For each `python -m process_control.preloaded` that asks, it
forks a process, which gets that one's arguments, environment, folder and standard streams, and
runs its module as `python -m` does. The forks share the memory of what was imported.

A fork is only right where a new interpreter would have imported the same. So it declines, and a new
interpreter does the work, if the environment differs from the preloader's in more than was
declared, or if a file that was imported has changed since.

What asked stands in for the process: its signals are passed on, and when it ends, the process is
killed. The preloader has one thread, so that it may fork, and its forks end with it.
"""

from __future__ import annotations

import gc
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from process_control.parent_death import die_with_parent
from process_control.preloaded import LENGTH_BYTES, SOCKET_VARIABLE, YES

_DESCRIPTORS = 5
"""Of a request: standard input, output and error, the folder, and the control socket."""
_REQUEST_SECONDS = 10.0
_MAX_BLOCK_BYTES = 8 * 1024 * 1024
"""The kernel allows less for arguments and environment."""
_OF_THE_SHELL = frozenset({b"_", b"PWD", b"OLDPWD", b"SHLVL", SOCKET_VARIABLE.encode()})
"""Variables that may differ: they say where and how a process was started."""


class _Preloader:
    """Forks processes from this one, which has imported everything and has one thread."""

    def __init__(self, path: Path, own_prefixes: Iterable[str] = ()) -> None:
        """Listen. The arguments are those of `serve`."""
        self._pid = os.getpid()
        self._path = path
        self._environment = dict(os.environb)
        self._own_prefixes = tuple(prefix.encode() for prefix in own_prefixes)
        self._files = _imported_files()
        self._selector = selectors.DefaultSelector()
        self._controls: dict[int, socket.socket] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        os.set_blocking(self._reading, False)
        self._listener.bind(str(path))
        self._listener.listen()

    def serve(self) -> list[str]:
        """Serve requests until SIGTERM.

        Returns:
            In a forked process only: the name of the module that it is to run, and its arguments.

        Raises:
            SystemExit: in the preloader, after SIGTERM.
        """
        self._handle_signals()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._reading, selectors.EVENT_READ, self._reap)
        try:
            while True:
                for key, _ in self._selector.select():
                    arguments: list[str] | None = key.data()
                    if arguments is not None:
                        return arguments
        finally:
            if os.getpid() == self._pid:
                self._end()

    def _handle_signals(self) -> None:
        def end(_number: int, _frame: FrameType | None) -> None:
            sys.exit(0)

        # A terminal sends Ctrl-C to all; what the forks stand for passes it on to them.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def _accept(self) -> list[str] | None:
        """Fork a process for whoever connects; its module and arguments, in that process."""
        connection, _ = self._listener.accept()
        connection.settimeout(_REQUEST_SECONDS)
        with connection, suppress(OSError):
            _, descriptors, _, _ = socket.recv_fds(connection, 1, _DESCRIPTORS)
            try:
                if len(descriptors) == _DESCRIPTORS:
                    return self._fork(connection, descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
        return None

    def _fork(self, connection: socket.socket, descriptors: list[int]) -> list[str] | None:
        *streams, folder, control = descriptors
        pid = os.fork()
        if not pid:
            try:
                self._leave_preloader()
                return self._take_request(connection, streams, folder)
            except OSError:  # what asked has given up
                os._exit(1)
        self._controls[pid] = socket.socket(fileno=os.dup(control))
        self._controls[pid].setblocking(False)
        self._selector.register(
            self._controls[pid], selectors.EVENT_READ, lambda: self._pass_on(pid)
        )
        return None

    def _pass_on(self, pid: int) -> None:
        """Pass on the signals that came, or kill the process, if what it stands for has ended."""
        control = self._controls.get(pid)
        if control is None:  # it was reaped a moment ago
            return
        try:
            numbers = control.recv(64)
        except OSError:
            numbers = b""
        for number in numbers or bytes([signal.SIGKILL]):
            os.kill(pid, number)
        if not numbers:
            self._selector.unregister(control)

    def _reap(self) -> None:
        """Report the ends of processes."""
        with suppress(BlockingIOError):
            os.read(self._reading, 4096)
        for pid in list(self._controls):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._report(pid, os.waitstatus_to_exitcode(status))

    def _report(self, pid: int, code: int) -> None:
        with self._controls.pop(pid) as control, suppress(OSError):
            with suppress(KeyError):  # it was killed, because nobody is there
                self._selector.unregister(control)
            control.send(code.to_bytes(LENGTH_BYTES, "big", signed=True))

    def _end(self) -> None:
        self._path.unlink(missing_ok=True)
        for pid in self._controls:
            os.kill(pid, signal.SIGKILL)
        for pid in list(self._controls):
            os.waitpid(pid, 0)
            self._report(pid, -signal.SIGKILL)

    def _leave_preloader(self) -> None:
        """Undo, in a fork, what is only for the preloader."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        die_with_parent(self._pid)
        os.setpgrp()  # a signal for a group is for those that the forks stand for
        self._selector.close()
        self._listener.close()
        os.close(self._reading)
        os.close(self._writing)
        for control in self._controls.values():
            control.close()

    def _take_request(
        self, connection: socket.socket, streams: list[int], folder: int
    ) -> list[str]:
        """Become, in a fork, the process that was requested; or end, if a fork can't be that."""
        arguments = _read_block(connection)
        environment = dict(variable.split(b"=", 1) for variable in _read_block(connection))
        if reason := self._reason_to_decline(environment):
            os.write(streams[2], f"A new interpreter is started, because {reason}.\n".encode())
            os._exit(0)
        connection.sendall(YES)
        if connection.recv(1) != YES:
            os._exit(0)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.fchdir(folder)
        sys.path[0] = str(Path.cwd())  # as `python -m` has it
        os.environb.clear()
        os.environb.update(environment)
        return [os.fsdecode(argument) for argument in arguments]

    def _reason_to_decline(self, environment: dict[bytes, bytes]) -> str | None:
        differing = sorted(
            os.fsdecode(name)
            for name in environment.keys() | self._environment.keys()
            if environment.get(name) != self._environment.get(name)
            and name not in _OF_THE_SHELL
            and not name.startswith(self._own_prefixes)
        )
        if differing:
            return f"its environment differs from the preloader's: {', '.join(differing)}"
        changed = [file for file, time in self._files.items() if _changed_at(file) != time]
        return f"{changed[0]} has changed since the preloader started" if changed else None


def serve(path: Path, own_prefixes: Iterable[str] = ()) -> None:
    """Fork processes until SIGTERM. Call it once everything is imported, from the one thread.

    In a fork it returns when the module that was requested has run.

    Args:
        path: of the Unix socket. Only this user may have access to its folder, for whoever connects
            runs code as this user.
        own_prefixes: environment variables whose names start so may differ between requests.

    Raises:
        SystemExit: after SIGTERM; and in a fork, if its module ends so.
    """
    gc.collect()
    gc.freeze()  # what was imported is garbage for no fork, and its memory stays shared
    module, *sys.argv[1:] = _Preloader(path, own_prefixes).serve()
    sys.modules.pop(module, None)  # as in a new interpreter, where it is `__main__` alone
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _read_block(connection: socket.socket) -> list[bytes]:
    length = int.from_bytes(_read(connection, LENGTH_BYTES), "big")
    if length > _MAX_BLOCK_BYTES:
        raise OSError(f"a request of {length:,} bytes; at most {_MAX_BLOCK_BYTES:,} are read")
    return _read(connection, length).split(b"\0") if length else []


def _read(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise OSError(f"a request ended after {len(data):,} of {length:,} bytes")
        data += part
    return bytes(data)


def _imported_files() -> dict[str, int | None]:
    """The files of all modules that are imported, and when each changed last."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return {file: _changed_at(file) for file in files if file}


def _changed_at(file: str) -> int | None:
    """In nanoseconds; None if it is gone."""
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return None
