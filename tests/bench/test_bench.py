"""The benchmark measures what it says, on files that are what it says they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import ExifTags, Image

from media_enricher.models import Depth
from tests.bench import corpus
from tests.bench.__main__ import Size, plan, ratios, table
from tests.bench.contenders import IncompleteError, Measured, Name, Round, measure
from tests.bench.stage import Stage

COUNT = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.mark.usefixtures("needs_images", "needs_processes")
def test_photographs_are_as_large_as_cameras_make_them(folder: Path) -> None:
    paths = corpus.photographs(folder / "photographs", 6)
    with_camera = 0
    for path in paths:
        with Image.open(path) as image:
            assert image.width * image.height > 900_000
            with_camera += ExifTags.Base.Make in image.getexif()
    assert with_camera > 2


@pytest.mark.usefixtures("needs_images", "needs_processes")
def test_small_images_are_small_different_and_made_once(folder: Path) -> None:
    paths = corpus.small_images(folder / "small", COUNT)
    assert all(5_000 <= path.stat().st_size <= 40_000 for path in paths)
    assert len({path.read_bytes() for path in paths}) == COUNT
    made = [path.stat().st_mtime_ns for path in paths]
    more = corpus.small_images(folder / "small", COUNT + 2)
    assert more[:COUNT] == paths
    assert [path.stat().st_mtime_ns for path in paths] == made


@pytest.mark.usefixtures("needs_stack", "needs_prefect")
def test_all_contenders_read_the_same_files_to_the_end(folder: Path) -> None:
    each = Round(bucket="bench-small", objects=COUNT, depth=Depth.FULL)
    names: tuple[Name, ...] = ("flow", "loop", "script")
    with Stage.set(folder) as stage:
        stage.upload(each.bucket, corpus.small_images(folder / "small", COUNT))
        runs = [measure(stage, name, each) for name in names]

        stage.upload(each.bucket, [_text(folder)])
        with_text = Round(bucket=each.bucket, objects=COUNT + 1, depth=Depth.FULL)
        with pytest.raises(IncompleteError, match="20 of 21"):
            measure(stage, "loop", with_text)

    for run in runs:
        assert run.seconds > 0
        assert run.start_up_seconds > 0
        assert run.cpu_seconds > 0
        assert run.peak_rss_mb >= run.peak_pss_mb > 5  # beside other tests, most of it is shared
    assert table(runs).row_count == 3
    assert len(ratios(runs)) == 2


def test_those_who_are_compared_read_the_same() -> None:
    parts = plan(Size())
    for name in ("photographs", "photographs-header", "small", "small-header"):
        contenders = [who for who, _ in parts[name]]
        assert contenders[:2] == ["flow", "loop"]
        assert len({each for _, each in parts[name]}) == 1


def test_ratios_compare_rounds_and_take_their_median() -> None:
    each = Round(bucket="bench-small", objects=100, depth=Depth.HEADER)

    def run(name: Name, seconds: float) -> Measured:
        return Measured(
            contender=name,
            round=each,
            start_up_seconds=1,
            seconds=seconds,
            cpu_seconds=1,
            prefect_cpu_seconds=1,
            stack_cpu_seconds=1,
            peak_rss_mb=1,
            peak_pss_mb=1,
        )

    flow = [run("flow", seconds) for seconds in (2.0, 20.0, 2.0)]
    loop = [run("loop", seconds) for seconds in (1.0, 10.0, 100.0)]
    assert ratios([*flow, *loop]) == ["100 small, header: flow / loop = 0.50"]


def _text(folder: Path) -> Path:
    path = folder / "zzz" / "no image.txt"
    path.parent.mkdir()
    path.write_text("no image")
    return path
