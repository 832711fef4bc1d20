"""Where batches end that were written in part: kept for the run that goes on with the rest."""

from __future__ import annotations

import asyncpg
import pytest

from tests.database import Database
from tests.sql.conftest import Objects


class Cuts:
    """Those of one bucket, as the pipeline notes and asks for them."""

    def __init__(self, database: Database, bucket: str) -> None:
        self._database = database
        self.bucket = bucket

    def note(self, *paths: str, done: list[str] | None = None) -> None:
        self._database.rows(
            "select public.media_note_cuts($1, $2, $3)", self.bucket, list(paths), done or []
        )

    def known(self) -> list[str]:
        return self._database.column("select public.media_cuts($1)", self.bucket)

    def age(self, path: str, by: str) -> None:
        """As if it had been noted so much earlier."""
        self._database.rows(
            "update media_enricher.batch_cuts set noted_at = noted_at - $3::text::interval"
            " where bucket = $1 and path = $2",
            *(self.bucket, path, by),
        )


@pytest.fixture
def cuts(superuser: Database, objects: Objects) -> Cuts:
    return Cuts(superuser, objects.bucket)


def test_what_was_noted_is_known_once_until_it_is_done(cuts: Cuts) -> None:
    cuts.note("a.jpg", "b.jpg", "a.jpg")
    cuts.note("c.jpg", "b.jpg")
    assert sorted(cuts.known()) == ["a.jpg", "b.jpg", "c.jpg"]
    cuts.note("d.jpg", done=["a.jpg", "c.jpg", "never noted.jpg"])
    assert sorted(cuts.known()) == ["b.jpg", "d.jpg"]
    cuts.note(done=["b.jpg", "d.jpg"])
    assert cuts.known() == []


def test_the_end_of_one_batch_and_the_start_of_another_stays(cuts: Cuts) -> None:
    """Both in one call: the batch before it is done, the one behind it is not."""
    cuts.note("a.jpg")
    cuts.note("a.jpg", done=["a.jpg"])
    assert cuts.known() == ["a.jpg"]


def test_buckets_know_nothing_of_each_other(cuts: Cuts, superuser: Database) -> None:
    other = Cuts(superuser, Objects(superuser).bucket)
    cuts.note("a.jpg")
    other.note("b.jpg", done=["a.jpg"])
    assert (cuts.known(), other.known()) == (["a.jpg"], ["b.jpg"])


def test_after_a_week_they_are_forgotten(cuts: Cuts) -> None:
    """As long as results are cached; noted anew, they are as young as new ones."""
    cuts.note("old.jpg", "again.jpg", "young.jpg")
    cuts.age("old.jpg", "7 days 1 minute")
    cuts.age("again.jpg", "6 days 23 hours")
    cuts.age("young.jpg", "6 days 23 hours")
    cuts.note("again.jpg")
    assert sorted(cuts.known()) == ["again.jpg", "young.jpg"]
    cuts.age("again.jpg", "6 days 23 hours")
    cuts.age("young.jpg", "2 hours")
    cuts.note()
    assert cuts.known() == ["again.jpg"]


def test_of_very_many_the_latest_thousand_are_told(cuts: Cuts) -> None:
    """More than an answer of PostgREST holds; the rest costs some objects a second look."""
    cuts.note(*(f"{i:04}.jpg" for i in range(1, 1001)))
    cuts.note("the latest.jpg", "/first in the alphabet.jpg")
    assert len(cuts.known()) == 1000
    assert set(cuts.known()[:2]) == {"the latest.jpg", "/first in the alphabet.jpg"}
    assert "1000.jpg" not in cuts.known()


def test_whatever_storage_may_call_an_object_is_a_cut(cuts: Cuts) -> None:
    names = ["a,b.jpg", 'quo"te.jpg', "{brace}.jpg", "back\\slash.jpg", "ünï/cödé.jpg", "NULL"]
    cuts.note(*names)
    assert sorted(cuts.known()) == sorted(names)
    cuts.note(done=names)
    assert cuts.known() == []


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize(
    "statement",
    [
        "select public.media_cuts('b')",
        "select public.media_note_cuts('b', '{}', '{}')",
        "select count(*) from media_enricher.batch_cuts",
        "delete from media_enricher.batch_cuts",
    ],
)
def test_only_the_pipeline_asks_and_only_by_the_functions(
    superuser: Database, role: str, statement: str
) -> None:
    superuser.run("begin")
    try:
        superuser.run(f"set local role {role}")
        if role == "service_role" and "public." in statement:
            superuser.rows(statement)
            return
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            superuser.rows(statement)
    finally:
        superuser.run("rollback")
