"""What a program and its children use: processor time, and memory of all of them together."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import psutil

INTERVAL_SECONDS = 0.1
MEMORY_SHARE = 0.02
"""Of the time that passes, what looks at the memory may take, for which the kernel goes through all
pages: at ten looks a second, they took 1 s of the 16 s of processor time of 600 photographs."""


class Usage(msgspec.Struct, kw_only=True):
    """Of a process and all its descendants."""

    cpu_seconds: float = 0.0
    peak_rss_mb: float = 0.0
    """The sum of their resident sets: what several of them share counts several times."""
    peak_pss_mb: float = 0.0
    """The same with each shared page counted once."""


class Ran(msgspec.Struct, kw_only=True):
    """A program that has ended well."""

    started: float
    """In Unix seconds."""
    ended: float
    lines: list[str]
    """What it wrote to its standard output."""
    usage: Usage


class FailedError(Exception):
    """A program of the benchmark ended with an error; its output is the message."""


def run(command: Sequence[str], environment: Mapping[str, str]) -> Ran:
    """Run a program to its end and take note of what it uses.

    Raises:
        FailedError: its exit code is not 0.
    """
    started = time.time()
    child = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    usage = Usage()
    sampler = threading.Thread(target=_sample_to_the_end, args=(child.pid, usage))
    sampler.start()
    output, errors = child.communicate()
    sampler.join()
    if child.returncode:
        raise FailedError(f"{' '.join(command)}\n{output[-2000:]}\n{errors[-4000:]}")
    return Ran(started=started, ended=time.time(), lines=output.splitlines(), usage=usage)


@contextmanager
def cpu_seconds_of(pid: int) -> Iterator[list[float]]:
    """Fill the list with the processor time that a server and its children use meanwhile."""
    spent: list[float] = []
    before = _cpu_seconds(_tree(pid))
    yield spent
    spent.append(_cpu_seconds(_tree(pid)) - before)


def _sample_to_the_end(pid: int, usage: Usage) -> None:
    next_look_at_memory = 0.0
    while tree := _tree(pid):
        # Only ever growing: a child that has ended is counted by its parent if that waited for it.
        usage.cpu_seconds = max(usage.cpu_seconds, _cpu_seconds(tree))
        if (began := time.monotonic()) >= next_look_at_memory:
            rss, pss = _memory_mb(tree)
            ended = time.monotonic()
            next_look_at_memory = ended + (ended - began) / MEMORY_SHARE
            usage.peak_rss_mb = max(usage.peak_rss_mb, rss)
            usage.peak_pss_mb = max(usage.peak_pss_mb, pss)
        time.sleep(INTERVAL_SECONDS)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        if parent.status() == psutil.STATUS_ZOMBIE:
            return []
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(tree: list[psutil.Process]) -> float:
    spent = 0.0
    for process in tree:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system + times.children_user + times.children_system
    return spent


def _memory_mb(tree: list[psutil.Process]) -> tuple[float, float]:
    rss = pss = 0.0
    for process in tree:
        try:
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        rss += memory.rss / 1e6
        pss += memory.pss / 1e6
    return rss, pss
