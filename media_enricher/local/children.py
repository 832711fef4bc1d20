"""Child processes that cannot outlive this one.

On Linux the kernel itself signals a child when its parent goes (PR_SET_PDEATHSIG), so that even a
SIGKILL leaves nothing behind. Elsewhere a killed parent leaves its children; the next start of the
same data folder ends a Postgres left like that.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from media_enricher.local.errors import LocalStackError

_PR_SET_PDEATHSIG = 1
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

    Call it from the main thread: the kernel takes the end of the starting thread for that of the
    parent.

    Args:
        command: the program and its arguments.
        log: where its standard output and error go.
        environment: added to ours.
        on_parent_death: what the child is sent when this process ends, however it ends.
        drop_root: run as an ordinary user when we are root (see `unprivileged`).
        own_session: keep a Ctrl-C in the terminal from it, for we stop our children in order; else
            it belongs to our process group.
    """
    arguments = [str(part) for part in command]
    follow_parent: Callable[[], None] | None = _die_with_parent(on_parent_death)
    if drop_root and os.geteuid() == 0:
        # A change of user clears the death signal, so it is set by the one who changes it, later.
        arguments = [*unprivileged(), f"--pdeathsig={on_parent_death.name[3:]}", *arguments]
        follow_parent = None
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=own_session,
            preexec_fn=follow_parent,  # noqa: PLW1509 - one system call, before any thread exists
        )


def stop(child: subprocess.Popen[bytes], *signals: signal.Signals, patience: float = 5.0) -> None:
    """Send each signal in turn until the child ends, and SIGKILL at the last; wait for its end."""
    for each in (*signals, signal.SIGKILL):
        if child.poll() is not None:
            return
        child.send_signal(each)
        try:
            child.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue


def unprivileged() -> list[str]:
    """The start of a command line that gives up root, for Postgres refuses to run as root.

    The one capability that is kept lets it walk through folders of root's (a checkout or a
    temporary folder with mode 0700), so that no folder's mode has to be loosened.

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
    ]


def unprivileged_user() -> pwd.struct_passwd:
    """The user that Postgres runs as when we are root."""
    for name in _UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise LocalStackError(
        f"Postgres does not run as root, and this machine has no user named "
        f"{' or '.join(_UNPRIVILEGED_USERS)} to run it as. Run as an ordinary user."
    )


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded here: a child after fork must not
    parent = os.getpid()

    def follow() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return follow
