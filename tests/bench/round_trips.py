"""Which requests a run made, and which of them it waited for one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.bench.delaying_proxy import Passed

READ = "read"
"""The kind of a download of an object."""


class Requests(NamedTuple):
    """The requests of one run, each part in the order of their ends.

    Attributes:
        start: those that had ended when the first object was asked for.
        reading: the downloads, and what was asked beside them.
        end: those that began when the last object was there.
    """

    start: list[Passed]
    reading: list[Passed]
    end: list[Passed]

    def counts(self) -> Counter[str]:
        """How many there were of each kind."""
        return Counter(kind(each) for part in self for each in part)


def logged(log: Path) -> Requests:
    """What the proxy has written down."""
    lines = log.read_bytes().splitlines()
    requests = sorted(
        (msgspec.json.decode(line, type=Passed) for line in lines), key=lambda each: each.ended
    )
    reads = [each for each in requests if each.is_download]
    first, last = min(each.began for each in reads), reads[-1].ended
    start = [each for each in requests if each.ended <= first]
    end = [each for each in requests if each.began >= last]
    return Requests(start, [each for each in requests if each not in start + end], end)


def one_after_the_other(requests: Iterable[Passed]) -> list[Passed]:
    """The longest sequence of requests of which each began when the one before had ended.

    Args:
        requests: in the order of their ends.
    """
    sequence: list[Passed] = []
    for each in requests:
        if not sequence or each.began >= sequence[-1].ended:
            sequence.append(each)
    return sequence


def kind(request: Passed) -> str:
    """What is asked: the function of the database, or Storage's route without names."""
    if request.is_download:
        return READ
    api, _, *route = request.path.strip("/").split("/")
    if api == "rest":
        return route[-1]
    depth = 2 if route[1:2] in (["move"], ["list-v2"]) else 1
    return " ".join((request.method, "/".join(route[:depth])))
