"""docs/explanation/architecture.md shows the house and the system as they are."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
HOUSE, _, PICTURE = TEXT.partition("## All of it, deployed")
PICTURE = PICTURE.partition("```mermaid")[2].partition("```")[0]


def rooms() -> list[str]:
    inside = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "media_enricher").iterdir()
        if not path.name.startswith("_")
    }
    beside = {"supabase_local/", "process_control/"}
    return sorted(
        inside | beside | {"flows/", "tasks/", "deployments/", "sql/", "examples/", "tests/"}
    )


@pytest.mark.parametrize("room", rooms())
def test_each_room_is_in_the_house(room: str) -> None:
    assert re.search(rf"^ *{re.escape(room)} +\S", HOUSE, re.MULTILINE)


def test_no_room_is_in_the_house_that_is_not_there() -> None:
    told = re.findall(r"^  ([\w.]+/?)  +\S", HOUSE, re.MULTILINE)
    assert len(told) > 10
    places = [ROOT / "media_enricher", ROOT / "sql", ROOT / "docs"]
    assert [name for name in told if not any((place / name).exists() for place in places)] == []


def test_the_picture_has_each_deployment_and_queue() -> None:
    deployments = msgspec.yaml.decode((ROOT / "prefect.yaml").read_bytes())["deployments"]
    assert deployments
    for deployment in deployments:
        assert re.search(rf"\b{deployment['name']}(?![\w-])", PICTURE), deployment["name"]
        queue = deployment["work_pool"]["work_queue_name"]
        assert f'{queue}(["{queue}"])' in PICTURE
        assert deployment["work_pool"]["name"] in PICTURE
