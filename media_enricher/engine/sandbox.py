"""What a process that decodes strangers' bytes may do: work on what it was given, and nothing else.

Each of these is set by the process itself, before the first of those bytes, and can't be undone:
limits of the kernel (`setrlimit`), no capabilities and no new privileges, no look at it from
outside through /proc or ptrace, and a seccomp filter, by libseccomp, that leaves it the system
calls for reading, writing and memory. Opening a file, making a socket, starting a program and
signalling another process fail with EPERM.

The filter needs Linux and libseccomp (Debian: libseccomp2, which nearly every system has). Where
either is missing the limits alone hold, and `shortcoming` says so.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ENVIRONMENT = frozenset(
    {"PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
    | {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "VIRTUAL_ENV", "COVERAGE_PROCESS_START"}
)
"""All that the engine's processes get of their parent's environment: a list of what is allowed, for
nobody knows the names of all the secrets that an environment may hold."""

_COMPLAINT_BYTES = 1024 * 1024
"""What it may write to a file: to the one that keeps its stderr."""
_DESCRIPTORS_TO_COME = 8
"""Large objects come as open files, one at a time."""
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_EQUALS = 4
_LIBSECCOMP = "libseccomp.so.2"
_SECCOMP_IN_KERNEL = Path("/proc/sys/kernel/seccomp/actions_avail")

_ALLOWED_CALLS = (
    # What it was given: its control socket, the shared memory, files that came over the socket.
    *("read", "readv", "pread64", "write", "writev", "recvfrom", "recvmsg", "sendto", "sendmsg"),
    *("close", "lseek", "_llseek", "fstat", "fstat64", "newfstatat", "statx"),
    *("poll", "ppoll", "ppoll_time64", "select", "pselect6"),
    # Memory.
    *("mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise", "brk"),
    # Waiting and time.
    *("futex", "futex_time64", "clock_gettime", "clock_gettime64", "clock_getres", "gettimeofday"),
    *("time", "nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "sched_yield"),
    *("setitimer", "getitimer", "restart_syscall", "membarrier", "rseq", "set_robust_list"),
    # Itself.
    *("getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "getrusage"),
    *("sched_getaffinity", "getcpu", "sysinfo", "uname"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "sigreturn"),
    *("getrlimit", "ugetrlimit", "exit", "exit_group"),
)
"""`open`, `socket`, `execve`, `kill` and hundreds of others are not among them, and `clone`, for a
thread or a process, neither: the decoders are told to work in the one thread that there is."""


_OWN_LIMITS = "prlimit64"
"""Allowed for this process alone (its first argument 0): a large file needs room to be mapped."""


_FCNTL_COMMANDS = (fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL)
"""What mapping a file takes. Others (F_SETOWN, F_SETSIG and F_SETFL with O_ASYNC) have the kernel
send any signal to any process of this user, which is as good as `kill`."""


class _ArgumentIs(ctypes.Structure):
    """A condition of libseccomp: `struct scmp_arg_cmp`."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("unused", ctypes.c_uint64),
    )


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def environment() -> dict[str, str]:
    """What a process of the engine gets of this one's environment."""
    kept = {name: value for name, value in os.environ.items() if name in ENVIRONMENT}
    # One thread is what each of them decodes with; more would only hold memory.
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def keep_descriptors(*kept: int) -> None:
    """Close whatever this process has inherited, but for these and the standard three."""
    for number in [int(each.name) for each in Path("/dev/fd").iterdir()]:
        if number > 2 and number not in kept:
            with suppress(OSError):  # the one that listed the others is closed by now
                os.close(number)


def hide_from_others() -> None:
    """Keep other processes of this user from reading this one's memory and environment.

    For those that hold keys, too. It also means that no core is dumped.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def limit_memory(more_bytes: int) -> None:
    """Let this process have so many more bytes of memory than it has now.

    More is a MemoryError, or a decoder's own error, where it was asked for.
    """
    if sys.platform == "linux":  # the only one where what a process has now is so easily told
        pages = int(Path("/proc/self/statm").read_text().partition(" ")[0])
        _set_memory(pages * resource.getpagesize() + more_bytes)


@contextmanager
def room_for_file(length: int) -> Iterator[None]:
    """Let a file of this length be mapped meanwhile, which counts as memory and takes none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        yield
        return
    _set_memory(limit + length)
    try:
        yield
    finally:
        _set_memory(limit)


def _set_memory(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def shortcoming() -> str | None:
    """What decoders have to do without on this machine, in a sentence; None if it is nothing."""
    if sys.platform != "linux":
        return f"there is no seccomp on {sys.platform}, so decoders run without a filter"
    if not _SECCOMP_IN_KERNEL.exists():
        return "this kernel has no seccomp, so decoders run without a filter"
    try:
        ctypes.CDLL(_LIBSECCOMP)
    except OSError:
        return "libseccomp is not installed (Debian: libseccomp2), so decoders run without a filter"
    return None


def close_the_door() -> None:
    """Give up all that decoding does not need; see the module. There is no way back.

    Raises:
        OSError: the kernel refuses it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_COMPLAINT_BYTES, _COMPLAINT_BYTES))
    highest = max(int(each.name) for each in Path("/dev/fd").iterdir())
    descriptors = highest + 1 + _DESCRIPTORS_TO_COME
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    hide_from_others()
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities(libc)
    if shortcoming() is None:
        _filter_calls()


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """What root may do beyond others is of no use to a decoder."""
    for capability in range(_LAST_CAPABILITY + 1):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    none = (_CapabilityData * 2)()
    if libc.capset(ctypes.byref(header), none):
        raise OSError(ctypes.get_errno(), "cannot drop capabilities")


def _filter_calls() -> None:
    """Load the seccomp filter."""
    seccomp = ctypes.CDLL(_LIBSECCOMP)
    seccomp.seccomp_init.argtypes = (ctypes.c_uint32,)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_rule_add_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p),
    )
    seccomp.seccomp_load.argtypes = (ctypes.c_void_p,)
    rules = seccomp.seccomp_init(_REFUSE)
    for name in _ALLOWED_CALLS:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # negative: another architecture's
            seccomp.seccomp_rule_add_array(rules, _ALLOW, number, 0, None)
    for name in ("fcntl", "fcntl64"):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        for command in _FCNTL_COMMANDS if number >= 0 else ():
            is_command = _ArgumentIs(1, _EQUALS, command, 0)
            seccomp.seccomp_rule_add_array(rules, _ALLOW, number, 1, ctypes.byref(is_command))
    of_itself = _ArgumentIs(0, _EQUALS, 0, 0)
    number = seccomp.seccomp_syscall_resolve_name(_OWN_LIMITS.encode())
    seccomp.seccomp_rule_add_array(rules, _ALLOW, number, 1, ctypes.byref(of_itself))
    if error := -seccomp.seccomp_load(rules):
        raise OSError(error, "this kernel takes no seccomp filter")
