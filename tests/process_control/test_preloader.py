"""The preloader: its forks run a module as a new interpreter would, and end as they should."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from process_control.preloaded import SOCKET_VARIABLE
from tests.waiting import living, wait_for, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's death signal")

PRELOADER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import told
from process_control import preloader
preloader.serve(Path(sys.argv[1]), own_prefixes=("OF_ONE_RUN_",))
"""
TOLD = """
import os, sys, time
LOADED_BY = os.getpid()
def told():
    print(os.getcwd(), os.environ.get("OF_ONE_RUN_ID"), sys.argv[1:], LOADED_BY == os.getpid())
"""
PROGRAM = """
import sys, time
import told
from pathlib import Path
what = sys.argv[1]
if what == "tell":
    told.told()
elif what == "echo":
    sys.stdout.write(sys.stdin.read().upper())
    sys.stderr.write("to stderr")
elif what == "exit":
    sys.exit(int(sys.argv[2]))
elif what == "raise":
    raise ValueError("as it is")
elif what == "wait":
    import os
    Path(sys.argv[2]).write_text(str(os.getpid()))
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(7)
"""


class Preloader:
    """A preloader that has imported the module `told`, and the modules beside it."""

    def __init__(self, folder: Path) -> None:
        self.modules = folder / "modules"
        self.modules.mkdir()
        (self.modules / "told.py").write_text(textwrap.dedent(TOLD))
        (self.modules / "program.py").write_text(textwrap.dedent(PROGRAM))
        self.socket = folder / "socket"
        self.environment = {**os.environ, "PYTHONPATH": f"{Path.cwd()}:{self.modules}"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELOADER, str(self.socket), str(self.modules)],
            env=self.environment,
        )
        wait_for(self.socket.exists, "the preloader does not listen")

    def start(self, *arguments: str, cwd: Path | None = None, **more: str) -> subprocess.Popen[str]:
        """Start `program` in a process of the preloader's; `more` is of its environment."""
        return subprocess.Popen(
            [sys.executable, "-m", "process_control.preloaded", "program", *arguments],
            env={**self.environment, SOCKET_VARIABLE: str(self.socket), **more},
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_waiting(self, folder: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
        """Start one that waits; what stands in for it, and itself."""
        file = folder / "pid"
        program = self.start("wait", str(file))
        pid = wait_for(lambda: file.exists() and file.read_text(), "the program does not begin")
        return program, psutil.Process(int(pid))


@pytest.fixture
def preloader(needs_processes: None, tmp_path: Path) -> Iterator[Preloader]:
    running = Preloader(tmp_path)
    yield running
    running.process.terminate()
    running.process.wait()


def test_a_fork_has_the_arguments_the_environment_and_the_folder_of_what_asked(
    preloader: Preloader, tmp_path: Path
) -> None:
    out, err = preloader.start("tell", "é", cwd=tmp_path, OF_ONE_RUN_ID="5").communicate()
    assert out == f"{tmp_path} 5 ['tell', 'é'] False\n"  # imported by another process
    assert not err


def test_a_fork_has_the_streams_of_what_asked(preloader: Preloader) -> None:
    assert preloader.start("echo").communicate("words") == ("WORDS", "to stderr")


@pytest.mark.parametrize("code", [0, 3, 255])
def test_what_asked_ends_with_the_exit_code_of_the_fork(preloader: Preloader, code: int) -> None:
    assert preloader.start("exit", str(code)).wait() == code


def test_an_error_is_printed_as_ever(preloader: Preloader) -> None:
    program = preloader.start("raise")
    assert "ValueError: as it is" in program.communicate()[1]
    assert program.returncode == 1


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 7)])
def test_a_signal_is_passed_on(
    preloader: Preloader, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    program, fork = preloader.start_waiting(tmp_path)
    program.send_signal(sent)
    assert program.wait() == code
    assert not living([fork])


def test_a_fork_ends_with_what_asked(preloader: Preloader, tmp_path: Path) -> None:
    program, fork = preloader.start_waiting(tmp_path)
    program.kill()
    wait_until_gone([fork])


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_fork_and_what_asked_end_with_the_preloader(
    preloader: Preloader, tmp_path: Path, sent: signal.Signals
) -> None:
    program, fork = preloader.start_waiting(tmp_path)
    preloader.process.send_signal(sent)
    assert program.wait() == -signal.SIGKILL
    wait_until_gone([fork])


def test_a_fork_that_is_killed_is_reported_so(preloader: Preloader, tmp_path: Path) -> None:
    program, fork = preloader.start_waiting(tmp_path)
    fork.kill()
    assert program.wait() == -signal.SIGKILL


def test_another_environment_has_a_new_interpreter(preloader: Preloader) -> None:
    out, err = preloader.start("tell", SUPABASE_URL="http://other").communicate()
    assert out.endswith("True\n")
    assert "differs from the preloader's: SUPABASE_URL" in err


def test_code_that_has_changed_has_a_new_interpreter(preloader: Preloader) -> None:
    os.utime(preloader.modules / "told.py", (1, 1))
    out, err = preloader.start("tell").communicate()
    assert out.endswith("True\n")
    assert "told.py has changed" in err


def test_without_a_preloader_it_is_a_new_interpreter(preloader: Preloader) -> None:
    out, _ = preloader.start("tell", PRELOADER_SOCKET="/nowhere").communicate()
    assert out.endswith("True\n")


def test_what_connects_and_asks_nothing_disturbs_nobody(preloader: Preloader) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(preloader.socket))
        silent.sendall(b"?")
        assert preloader.start("exit", "3").wait() == 3
