"""Servers as child processes: started with a log, as an ordinary user, and stopped by signals.

None outlives this process (see `process_control.processes`). Elsewhere than on Linux, a killed
parent leaves them; the next start of the same data folder ends a Postgres left like that.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import dropwhile
from pathlib import Path
from typing import BinaryIO

from process_control import processes
from supabase_local.errors import LocalStackError

_STARTED = "--- started "
_REASON_CHARACTERS = 500
_REASON_LINES = 20
_NO_REASON = "For further information visit"  # the last line of an error of Pydantic
_UNPRIVILEGED_USERS = ("postgres", "nobody")


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    on_parent_death: signal.Signals = signal.SIGTERM,
    drop_root: bool = False,
    own_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a child, its output appended to `log`.

    Args:
        command: the program and its arguments.
        log: where its standard output and error go.
        environment: added to that of this process.
        on_parent_death: what the child is sent when this process ends, however it ends.
        drop_root: run as an ordinary user when this process is root (see `unprivileged`).
        own_session: keep a Ctrl-C in the terminal from it, so that this process stops its children
            in order; else it belongs to the process group of this one.
    """
    arguments = [str(part) for part in command]
    if drop_root and os.geteuid() == 0:
        arguments = [*unprivileged(on_parent_death), *arguments]
    with opened(log) as output:
        return processes.spawn(
            arguments,
            on_parent_death=on_parent_death,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=own_session,
        )


def stop(child: subprocess.Popen[bytes], *signals: signal.Signals, patience: float = 5.0) -> None:
    """Send each signal in turn until the child ends, and SIGKILL last; wait for its end."""
    for each in (*signals, signal.SIGKILL):
        if child.poll() is not None:
            return
        child.send_signal(each)
        try:
            child.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue


def opened(log: Path) -> BinaryIO:
    """Open a log for a child that is about to start, and write a line that says so."""
    output = log.open("ab")
    output.write(f"{_STARTED}{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode())
    output.flush()
    return output


def reason(log: Path) -> str:
    """Why a child ended, as the end of a sentence (`: …`): its last output since it was started.

    Python and most servers print their error last. Without any output, an empty string.
    """
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = text.rpartition(_STARTED)[2].splitlines()[1:]
    printed = [line for line in lines if line.strip() and not line.strip().startswith(_NO_REASON)]
    traces = [number for number, line in enumerate(printed) if line.startswith("Traceback (")]
    last = printed[-1:]
    if traces:  # its error is all that follows on the indented frames
        error = list(dropwhile(lambda line: line.startswith(" "), printed[traces[-1] + 1 :]))
        if len(error) <= _REASON_LINES:  # else it went on after that
            last = error
    sentence = " ".join(line.strip() for line in last)[:_REASON_CHARACTERS].rstrip(". ")
    return f": {sentence}" if sentence else ""


def unprivileged(on_parent_death: signal.Signals = signal.SIGKILL) -> list[str]:
    """The start of a command line that gives up root, because Postgres refuses to run as root.

    A change of user clears the death signal, so it is set again after that. The shell then checks
    that the parent, which has to be the calling process, has not ended meanwhile.

    The one capability that it keeps lets it pass through folders of root (a checkout or a temporary
    folder with mode 0700), so that no folder needs a looser mode.

    Raises:
        LocalStackError: util-linux's `setpriv` is missing.
    """
    if shutil.which("setpriv") is None:
        raise LocalStackError(
            "Postgres does not run as root, and `setpriv` (of util-linux), which would change the "
            "user, is not on the PATH. Run as an ordinary user, or install util-linux."
        )
    user = unprivileged_user()
    keep = "-all,+dac_override"
    return [
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        f"--bounding-set={keep}",
        f"--inh-caps={keep}",
        f"--ambient-caps={keep}",
        f"--pdeathsig={on_parent_death.name[3:]}",
        *("sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(os.getpid())),
    ]


def unprivileged_user() -> pwd.struct_passwd:
    """The user that Postgres runs as when this process is root."""
    for name in _UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LocalStackError(
        f"Postgres does not run as root, and this machine has no user named "
        f"{' or '.join(_UNPRIVILEGED_USERS)} to run it as. Run as an ordinary user."
    )
