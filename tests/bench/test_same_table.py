"""Two tables are the same only if every row and every column is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.same_table import Row, differences, read


def row(path: str = "a.jpg", **columns: object) -> Row:
    return {"depth": "full", "bucket": "b", "path": path, "width": 640, "exif": None} | columns


def test_the_same_rows_in_another_order_are_the_same() -> None:
    assert differences([row("a.jpg"), row("b.jpg")], [row("b.jpg"), row("a.jpg")]) == []


def test_rows_that_one_lacks_are_counted() -> None:
    assert differences([row("a.jpg")], [row("b.jpg"), row("c.jpg")]) == [
        "missing: 1 rows, as full/b/a.jpg",
        "added: 2 rows, as full/b/b.jpg",
    ]


def test_an_object_in_each_depth_is_two_rows() -> None:
    both = [row(), row(depth="header")]
    assert differences(both, [row()]) == ["missing: 1 rows, as header/b/a.jpg"]


@pytest.mark.parametrize(
    ("before", "after"), [(640, 480), (1, True), (1, 1.0), (None, 0), ({"a": 1}, {"a": 2})]
)
def test_a_column_that_differs_is_named_with_an_example(before: object, after: object) -> None:
    (line,) = differences([row(width=before)], [row(width=after)])
    assert line.startswith("width: 1 rows differ, as full/b/a.jpg: ")


def test_a_new_column_is_a_difference_even_if_it_is_null() -> None:
    assert differences([row()], [row(lens=None)]) == [
        "lens: 1 rows differ, as full/b/a.jpg: no such column, now null"
    ]


def test_a_file_without_rows_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="holds no row"):
        read(tmp_path / "empty")
