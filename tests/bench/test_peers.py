"""What `make bench-peers` says of its runs. The peers themselves run only by the command."""

from __future__ import annotations

import ast
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from media_enricher.models import Depth
from tests.bench.contenders import IncompleteError, Measured, Name, Round
from tests.bench.peers import __main__ as bench
from tests.bench.peers.environment import REQUIREMENTS
from tests.bench.peers.peer import PeerDone, refuse_incomplete

HERE = Path(__file__).parent / "peers"


def measured(contender: Name, seconds: float, *, lost: int = 0, version: str = "") -> Measured:
    return Measured(
        contender=contender,
        round=Round(bucket="bench-photographs", objects=600, depth=Depth.FULL),
        start_up_seconds=2,
        seconds=seconds,
        cpu_seconds=12,
        prefect_cpu_seconds=2,
        stack_cpu_seconds=1,
        peak_rss_mb=500,
        peak_pss_mb=400,
        lost=lost,
        version=version,
    )


RUNS = [
    run
    for flow, img2dataset, daft in ((6, 12, 30), (60, 180, 600), (6, 9, 48))
    for run in (
        measured("flow", flow),
        measured("img2dataset", img2dataset, version="1.0"),
        measured("daft", daft, lost=18, version="2.0"),
    )
]


def test_ratios_compare_rounds_and_take_their_median() -> None:
    assert bench.ratios(RUNS) == [
        "flow / img2dataset = 2.00 (1.50 to 3.00)",
        "flow / Daft = 8.00 (5.00 to 10.00)",
    ]


def test_the_table_has_medians_versions_and_what_was_lost() -> None:
    table = bench.table(RUNS)
    cells = [list(column.cells) for column in table.columns]
    assert [row[:5] for row in zip(*cells, strict=True)] == [
        ("Media Enricher", "100", "0", "20.0", "5.0"),
        ("img2dataset 1.0", "50", "0", "20.0", "5.0"),
        ("Daft 2.0", "12", "18", "20.0", "5.0"),
    ]


@pytest.mark.parametrize(
    ("described", "lost"),
    [
        pytest.param(599, 0, id="one is not told of"),
        pytest.param(569, 31, id="more are lost than formats explain"),
    ],
)
def test_a_peer_that_leaves_images_out_is_refused(described: int, lost: int) -> None:
    with pytest.raises(IncompleteError, match=f"daft described {described} of 600"):
        refuse_incomplete("daft", done(described, lost), 600)


def test_a_peer_may_give_up_a_format() -> None:
    refuse_incomplete("daft", done(582, 18), 600)


def done(described: int, lost: int) -> PeerDone:
    return PeerDone(version="1", described=described, lost=lost, first_request=0, last_result=1)


@pytest.mark.parametrize("program", sorted(HERE.glob("run_*.py")), ids=lambda path: path.stem)
def test_what_runs_in_the_peers_environment_imports_nothing_of_ours(program: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(program.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or ".").partition(".")[0])
    assert imported - sys.stdlib_module_names <= {"daft", "img2dataset"}


def test_the_peers_are_pinned_with_hashes() -> None:
    text = REQUIREMENTS.read_text()
    assert {"daft", "img2dataset"} <= {line.partition("==")[0] for line in text.splitlines()}
    for line, after in pairwise(text.splitlines()):
        assert line.startswith("    --hash=sha256:") or "--hash" in after, line
    assert "://" not in text
