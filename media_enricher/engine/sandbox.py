"""Confines a process that decodes untrusted bytes: it may work on what it was given, and no more.

The process itself sets all of these before it reads the first of those bytes, and cannot undo them:
limits of the kernel (`setrlimit`), no capabilities and no new privileges, no access to it from
outside through /proc or ptrace, and a seccomp filter, by libseccomp, that leaves it the system
calls for reading, writing and memory. Opening a file, making a socket, starting a program and
signalling another process fail with EPERM.

The filter needs Linux and libseccomp (Debian: libseccomp2, which nearly every system has). Where
either is missing the limits alone hold, and `missing_protection` says so.
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
"""The variables that the engine's processes get of their parent's environment. It is a list of what
is allowed, because nobody knows the names of all the secrets that an environment may hold."""

_STDERR_BYTES = 1024 * 1024
"""The most it may write to a file: the one that stores its stderr."""
_MORE_DESCRIPTORS = 8
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
"""`open`, `socket`, `execve`, `kill` and hundreds of others are not among them. Nor is `clone` for
a process."""

_THREAD_FLAGS = 0x3D0F00
"""What glibc and musl call `clone` with to start a thread: one that shares memory, descriptors and
signal handlers, and so has the same filter and the same limits. libheif starts one for each picture
that it decodes, whatever it is told (`libde265_new_decoder2`)."""
_NO_SUCH_CALL = 0x00050000 | errno.ENOSYS
"""The answer to `clone3`, whose flags lie in memory that no filter sees. Libc then uses `clone`."""


_OWN_LIMITS = "prlimit64"
"""Allowed for this process alone (its first argument 0): mapping a large file raises a limit."""


_FCNTL_COMMANDS = (fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL)
"""What mapping a file needs. Others (F_SETOWN, F_SETSIG and F_SETFL with O_ASYNC) have the kernel
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
    """The part of this process's environment that a process of the engine gets."""
    allowed = {name: value for name, value in os.environ.items() if name in ENVIRONMENT}
    # Each of them decodes with one thread; more would only hold memory.
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    # malloc would reserve 128 MB of address space for each thread, which the limit counts.
    return allowed | threads | {"MALLOC_ARENA_MAX": "1"}


def keep_descriptors(*descriptors: int) -> None:
    """Close the descriptors that this process inherited, except these and the standard three."""
    for number in [int(each.name) for each in Path("/dev/fd").iterdir()]:
        if number > 2 and number not in descriptors:
            with suppress(OSError):  # the one that listed the others is closed already
                os.close(number)


def hide_from_others() -> None:
    """Keep other processes of this user from reading this one's memory and environment.

    Processes that hold keys call it, too. It also prevents core dumps.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def limit_memory(more_bytes: int) -> None:
    """Let this process have at most so many more bytes of memory than it has now.

    An allocation above it fails with MemoryError, or with the decoder's own error.
    """
    if sys.platform == "linux":  # elsewhere there is no such simple way to read the current size
        pages = int(Path("/proc/self/statm").read_text().partition(" ")[0])
        _set_memory(pages * resource.getpagesize() + more_bytes)


@contextmanager
def more_memory(length: int) -> Iterator[None]:
    """Raise the limit while a file of this length is mapped, which counts but uses no memory."""
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


def missing_protection() -> str | None:
    """The protection that decoders lack on this machine, as a sentence; None if they have all."""
    if sys.platform != "linux":
        return f"there is no seccomp on {sys.platform}, so decoders run without a filter"
    if not _SECCOMP_IN_KERNEL.exists():
        return "this kernel has no seccomp, so decoders run without a filter"
    try:
        ctypes.CDLL(_LIBSECCOMP)
    except OSError:
        return "libseccomp is not installed (Debian: libseccomp2), so decoders run without a filter"
    return None


def confine() -> None:
    """Give up all that decoding does not need; see the module. It cannot be undone.

    Raises:
        OSError: the kernel refuses it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_STDERR_BYTES, _STDERR_BYTES))
    highest = max(int(each.name) for each in Path("/dev/fd").iterdir())
    descriptors = highest + 1 + _MORE_DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    hide_from_others()
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities(libc)
    if missing_protection() is None:
        _filter_calls()


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Drop the capabilities of root, which a decoder does not need."""
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
    starts_thread = _ArgumentIs(0, _EQUALS, _THREAD_FLAGS, 0)
    number = seccomp.seccomp_syscall_resolve_name(b"clone")
    seccomp.seccomp_rule_add_array(rules, _ALLOW, number, 1, ctypes.byref(starts_thread))
    number = seccomp.seccomp_syscall_resolve_name(b"clone3")
    seccomp.seccomp_rule_add_array(rules, _NO_SUCH_CALL, number, 0, None)
    if error := -seccomp.seccomp_load(rules):
        raise OSError(error, "this kernel takes no seccomp filter")
