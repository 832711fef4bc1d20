"""The pages hold together: what checks their links and writes the references does so."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.tools import reference
from docs.tools.attribute_docs import attribute_docs
from docs.tools.links import ROOT, pages, problems
from docs.tools.markdown import anchors, broken, links
from docs.tools.sql_tables import sql_tables
from docs.tools.tables import table
from media_enricher.models import Mode

README = ROOT / "README.md"
DOCS = "docs"  # apart from the names of pages below, which are of none of ours


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= 10_000, "move what is not needed first to a page of docs/"


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_names_the_command(command: str) -> None:
    assert command in README.read_text(encoding="utf-8").splitlines()


def test_every_link_leads_somewhere_and_to_every_page() -> None:
    assert len(pages()) > 25
    assert list(problems()) == []


def test_each_kind_of_wrong_link_is_told(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "README.md").write_text(f"[a]({DOCS}/a.md) [b]({DOCS}/b.md#there)\n")
    (tmp_path / "docs" / "a.md").write_text("# A\n[gone](gone.md)\n")
    (tmp_path / "docs" / "b.md").write_text("# B\n")
    (tmp_path / "docs" / "lonely.md").write_text("# Lonely\n")
    (tmp_path / "code.py").write_text(f"# See {DOCS}/none.md, and {DOCS}/a.md.\n")
    (tmp_path / "node_modules" / "theirs.md").write_text("[gone](gone.md)\n")

    assert list(problems(tmp_path)) == [
        f"{tmp_path}/README.md: {DOCS}/b.md#there leads to no heading",
        f"{tmp_path}/{DOCS}/a.md: gone.md leads to no file",
        f"{tmp_path}/code.py: there is no page {DOCS}/none.md",
        f"{tmp_path}/README.md: no link leads to {DOCS}/lonely.md",
    ]


def test_anchors_are_those_of_the_forge(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Upgrade, and `back`\n## A [link](x.md) #\n```sh\n# no heading\n```\n## Two\n## Two\n"
    )
    assert anchors(page) == {"upgrade-and-back", "a-link", "two", "two-1"}


def test_a_broken_link_is_told_and_one_in_code_is_none(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](#here) [b](#there) [c](gone.md) [d](https://example.com/x) `[e](gone.md)`\n"
        "```\n[f](gone.md)\n```\n[g](page.md#here) [h](page.md#there)\n"
    )
    assert [broken(link) for link in links(page)] == [
        None,
        f"{page}: #there leads to no heading",
        f"{page}: gone.md leads to no file",
        None,
        f"{page}: page.md#there leads to no heading",
    ]


def test_the_reference_is_what_the_code_says() -> None:
    assert reference.differences() == "", "run make docs"


def test_a_reference_that_differs_is_shown_and_written_anew(tmp_path: Path) -> None:
    reference.write(tmp_path)
    assert reference.differences(tmp_path) == ""

    page = tmp_path / "cli.md"
    page.write_text(page.read_text().replace("## media-enricher backfill\n", "## backfill\n"))
    (tmp_path / "tables.md").unlink()

    lines = reference.differences(tmp_path).splitlines()
    assert "-## backfill" in lines
    assert "+## media-enricher backfill" in lines
    assert "+# Tables" in lines


def test_strings_under_attributes_are_read() -> None:
    assert attribute_docs(Mode)["ALL"] == "Every object."


def test_a_cell_holds_whatever_it_is_given() -> None:
    assert table(("a", "b"), [("x|y", "two\nlines")]) == (
        "| a | b |\n| --- | --- |\n| x\\|y | two lines |"
    )


def test_tables_are_read_from_their_definitions(tmp_path: Path) -> None:
    (tmp_path / "10_one.sql").write_text(
        """
-- One of
-- two.
create table a.one (
  id uuid primary key default gen_random_uuid(), -- the id's comment
  path text collate "C" not null,
  kind text not null default 'x', -- not this one
  size double precision,
  constraint one_kind_check
    check (kind in ('x', 'y')),
  primary key (id)
);
comment on column a.one.kind is
  'It''s one '
  'of two.';
create table a.two (
  id bigint
);
comment on table a.two is 'The other.';
"""
    )
    tables = sql_tables(tmp_path)

    assert {name: each.meaning for name, each in tables.items()} == {
        "a.one": "One of two.",
        "a.two": "The other.",
    }
    assert [
        (each.name, each.type, each.meaning, each.choices)
        for each in tables["a.one"].columns.values()
    ] == [
        ("id", "uuid", "The id's comment.", ()),
        ("path", "text", "", ()),
        ("kind", "text", "It's one of two.", ("x", "y")),
        ("size", "double precision", "", ()),
    ]
