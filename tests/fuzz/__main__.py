"""Mutate one file of each format and probe it as a decoder does: `make fuzz`.

The mutations follow from the seed, the format and their number alone. A file that is shown can be
made again with `--seed SEED --only FORMAT --first NUMBER --count 1 --keep FOLDER`.

It fails if the probe itself crashes, or if a file takes more than 10 seconds or the memory of a
decoder. A native decoder that crashes takes its process down, which costs that file's row alone;
such files are listed, and are no failure.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

from media_enricher.engine import sandbox
from media_enricher.engine.decoder import MEMORY_BYTES
from media_enricher.models import ErrorCode, Findings
from media_enricher.probe import ProbeOptions, keep_blocks, probe_full, probe_header
from media_enricher.probe.preloading import preload
from tests.fuzz.files import files

_MOST_SECONDS = 10.0
_OPTIONS = ProbeOptions(max_pixels=50_000_000, location=True, exif_tags=("Make", "UserComment"))
_BATCH = 50
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_REPORT = struct.Struct("=ifi")
"""Number of the file, seconds of processor time, and whether the probe crashed."""


def mutated(data: bytes, random: random.Random) -> bytes:
    """The file with one to eight changes of any sort."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(changed)) if changed else 0
        # Headers are small, and tell most.
        at = min(at, random.choice((64, 512, 4096, len(changed))))
        match random.randrange(7):
            case 0:
                changed[at : at + 1] = bytes((random.randrange(256),))
            case 1:
                number = random.choice(_NUMBERS)
                order, size = random.choice(("big", "little")), random.choice((1, 2, 4))
                changed[at : at + size] = (number & (1 << 8 * size) - 1).to_bytes(size, order)  # type: ignore[arg-type]
            case 2:
                del changed[at : at + random.choice((1, 2, 4, 100, len(changed)))]
            case 3:
                length = random.choice((1, 4, 100, 1024))
                changed[at : at + length] = bytes(min(length, len(changed) - at))
            case 4:
                piece = changed[at : at + random.choice((8, 64, 1024))]
                changed[at:at] = piece * random.choice((1, 2, 50))
            case 5:
                other = random.randrange(len(changed)) if changed else 0
                piece = changed[other : other + random.choice((4, 64, 512))]
                changed[at : at + len(piece)] = piece
            case _:
                changed[at:at] = random.randbytes(random.choice((1, 2, 16)))
    return bytes(changed)


def made(seed: int, name: str, data: bytes, number: int) -> bytes:
    """The mutation of this number."""
    return mutated(data, random.Random(f"{seed}:{name}:{number}"))


def probed(name: str, data: bytes) -> bool:
    """Probe at both depths; whether the probe crashed."""
    options = {"path": f"file.{name}", "declared_content_type": None, "options": _OPTIONS}
    found = [
        probe_full(data, **options),  # type: ignore[arg-type]
        probe_header(data[:65536], size_bytes=len(data), **options),  # type: ignore[arg-type]
    ]
    return any(
        isinstance(each, Findings) and each.error_code is ErrorCode.PROBE_CRASHED for each in found
    )


class Tally:
    """What came of the files of one format."""

    def __init__(self) -> None:
        self.files = 0
        self.crashed: list[int] = []
        self.slow: list[int] = []
        self.killed: list[tuple[int, str]] = []
        self.slowest = 0.0


def run(seed: int, name: str, data: bytes, first: int, count: int, tally: Tally) -> None:
    """Probe mutations in a process that is confined as a decoder is; after a death, in another."""
    while count > 0:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            _probe_all(seed, name, data, first, count, writer)
        os.close(writer)
        done = _read_reports(reader, first, tally)
        os.close(reader)
        _, status = os.waitpid(child, 0)
        first, count = first + done, count - done
        if count > 0:  # it died of the next one
            how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "exit"
            list_ = tally.slow if how == "SIGPROF" else None
            if list_ is not None:
                list_.append(first)
            else:
                tally.killed.append((first, how))
            tally.files += 1
            first, count = first + 1, count - 1


def _probe_all(seed: int, name: str, data: bytes, first: int, count: int, writer: int) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # libraries complain there
    sandbox.limit_memory(MEMORY_BYTES)
    sandbox.confine()
    for number in range(first, first + count):
        signal.setitimer(signal.ITIMER_PROF, _MOST_SECONDS)
        started = time.process_time()
        try:
            has_crashed = probed(name, made(seed, name, data, number))
        except MemoryError:
            has_crashed = False
        except Exception:  # noqa: BLE001 - that is what is looked for
            has_crashed = True
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(writer, _REPORT.pack(number, time.process_time() - started, has_crashed))
    os._exit(0)


def _read_reports(reader: int, first: int, tally: Tally) -> int:
    done = 0
    while len(report := os.read(reader, _REPORT.size)) == _REPORT.size:
        number, seconds, has_crashed = _REPORT.unpack(report)
        tally.files += 1
        tally.slowest = max(tally.slowest, seconds)
        if has_crashed:
            tally.crashed.append(number)
        done = number - first + 1
    return done


def main() -> int:
    """Fuzz until the time is up; the exit code is 1 for a crash of ours or a file too slow."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", help="one format, by its name in the table")
    parser.add_argument("--first", type=int, default=0, help="the first number")
    parser.add_argument("--count", type=int, help="so many of each format, whatever the time")
    parser.add_argument("--keep", type=Path, help="a folder to write the mutated files to")
    asked = parser.parse_args()
    chosen = {name: data for name, data in files().items() if asked.only in {None, name}}
    print(f"seed {asked.seed}, {len(chosen)} formats", flush=True)
    if asked.keep:
        _keep(asked, chosen)
    preload()
    keep_blocks()
    tallies = {name: Tally() for name in chosen}
    seconds = math.inf if asked.count else asked.seconds
    ends, first = time.monotonic() + seconds, asked.first
    while time.monotonic() < ends:
        for name, data in chosen.items():
            run(asked.seed, name, data, first, asked.count or _BATCH, tallies[name])
            if time.monotonic() >= ends:
                break
        first += _BATCH
        if asked.count:
            break
    return _report(tallies)


def _keep(asked: argparse.Namespace, chosen: dict[str, bytes]) -> None:
    asked.keep.mkdir(parents=True, exist_ok=True)
    for name, data in chosen.items():
        for number in range(asked.first, asked.first + (asked.count or 1)):
            (asked.keep / f"{number}.{name}").write_bytes(made(asked.seed, name, data, number))


def _report(tallies: dict[str, Tally]) -> int:
    for name, tally in tallies.items():
        print(
            f"{name:10} {tally.files:7,} files, slowest {tally.slowest:5.2f} s"
            f"{_listed('the probe crashed', tally.crashed)}{_listed('too slow', tally.slow)}"
            f"{_listed('its process died', tally.killed)}"
        )
    uncaught = sum(len(tally.crashed) + len(tally.slow) for tally in tallies.values())
    print(f"{sum(tally.files for tally in tallies.values()):,} files, {uncaught} uncaught errors")
    return 1 if uncaught else 0


def _listed(what: str, numbers: list[int] | list[tuple[int, str]]) -> str:
    return f"; {what}: {', '.join(map(str, numbers[:10]))}" if numbers else ""


if __name__ == "__main__":
    sys.exit(main())
