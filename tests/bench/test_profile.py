"""The profile: stacks are those of the process and the stage that they say."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter

from tests.bench import flame
from tests.bench.profile import read_stacks, stage_of

SVG = "{http://www.w3.org/2000/svg}"


def test_stacks_are_told_apart_by_process_and_stage() -> None:
    packages = "/venv/lib/python3.11/site-packages"
    stacks = read_stacks(
        [
            'process 1:"python -m flows";main (flows/__main__.py);write (/x/tasks/write.py);'
            "_encode_row (/x/media_enricher/supabase/rows.py) 5",
            f'process 1:"python -m flows";emit ({packages}/prefect/events/worker.py) 3',
            'process 2:"python";main (/x/media_enricher/engine/worker_main.py) 7',
            'process 3:"python";serve (/x/media_enricher/engine/decoder.py);f (a;b.py) 2',
            'process 1:"python -m flows" 1',
        ]
    )
    assert sum(stacks.values()) == 18
    spent: Counter[tuple[str, str]] = Counter()
    for stack, samples in stacks.items():
        spent[stack[0], stage_of(stack)] += samples
    assert spent == {
        ("flow", "record"): 5,
        ("flow", "Prefect"): 3,
        ("flow", "other"): 1,
        ("engine workers", ""): 7,
        ("decoders", ""): 2,
    }
    assert ("flow", "emit (prefect/events/worker.py)") in stacks


def test_a_flame_graph_has_a_box_for_all_samples_of_a_frame() -> None:
    stacks = Counter({("a", "b", "c"): 1, ("a", "b<&>"): 2, ("a", "b"): 1, ("z",): 4})
    boxes = _widths(flame.svg(stacks, title="all"))
    assert boxes == {
        ("all: 100.0%", 0): flame.WIDTH,
        ("a: 50.0%", 1): flame.WIDTH / 2,
        ("z: 50.0%", 1): flame.WIDTH / 2,
        ("b: 25.0%", 2): flame.WIDTH / 4,
        ("b<&>: 25.0%", 2): flame.WIDTH / 4,
        ("c: 12.5%", 3): flame.WIDTH / 8,
    }


def test_a_flame_graph_of_nothing_and_of_a_stack_without_end_is_drawn() -> None:
    assert len(_widths(flame.svg(Counter(), title="nothing"))) == 1
    deep = Counter({tuple(f"f{number}" for number in range(5_000)): 1})
    assert len(_widths(flame.svg(deep, title="deep"))) == flame.DEEPEST + 1


def _widths(svg: str) -> dict[tuple[str, int], float]:
    """The width of each box, by its title and its row."""
    boxes = {}
    for box in ET.fromstring(svg):
        title, rect = box.find(f"{SVG}title"), box.find(f"{SVG}rect")
        assert title is not None
        assert rect is not None
        row = int(rect.attrib["y"]) // flame.ROW
        boxes[title.text or "", row] = float(rect.attrib["width"])
    return boxes
