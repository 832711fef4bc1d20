"""Requests to start runs: who gets which run, who has to wait, and what the audit keeps of it."""

from __future__ import annotations

import json
import threading
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from supabase_local.postgres import Postgres
from tests.database import Database
from tests.sql.conftest import Objects

SILENCE_SECONDS = 60.0
Answer = dict[str, Any]


class Requester:
    """Requests runs of one bucket, as a caller that no other test uses."""

    def __init__(self, database: Database, bucket: str) -> None:
        self._database = database
        self.bucket = bucket
        self.caller = {"role": "authenticated", "user_id": str(uuid4())}

    def ask(self, limits: dict[str, Any] | None = None, **changes: Any) -> Answer:
        asked = {
            "route": "backfill",
            "flow": "backfill",
            "bucket": self.bucket,
            "caller": self.caller,
        } | changes
        answer = json.loads(
            self._database.value(
                "select public.media_request_run($1::jsonb, $2::jsonb)",
                json.dumps(asked),
                json.dumps({"silence_seconds": SILENCE_SECONDS} | (limits or {})),
            )
        )
        assert isinstance(answer, dict)
        return answer

    def start(self, answer: Answer, run_id: str | None = None) -> dict[str, Any]:
        """As the gateway does once Prefect has taken the run."""
        row = self._database.value(
            "select public.media_start_run($1, $2, $3)",
            answer["request"]["id"],
            run_id or str(uuid4()),
            answer["invocation_id"],
        )
        run = json.loads(row)
        assert isinstance(run, dict)
        return run

    def record(self, run_id: str, **columns: Any) -> None:
        """As the run itself does."""
        self._database.rows(
            "select public.media_record_run($1::jsonb)", json.dumps({"id": run_id} | columns)
        )

    def release(self, answer: Answer) -> None:
        self._database.rows("select public.media_release_request($1)", answer["request"]["id"])

    def settle(self, answer: Answer, status: int, reason: str) -> None:
        self._database.rows(
            "select public.media_settle_invocation($1, $2, $3)",
            *(answer["invocation_id"], status, reason),
        )

    def audited(self, answer: Answer) -> dict[str, Any]:
        (row,) = self._database.rows(
            "select * from audit.enricher_invocations where id = $1", answer["invocation_id"]
        )
        return row

    def audits(self) -> list[dict[str, Any]]:
        return self._database.rows(
            "select * from audit.enricher_invocations where bucket = $1 order by invoked_at",
            self.bucket,
        )

    def age(self, seconds: float) -> None:
        """Let all that happened to this bucket have happened so long ago."""
        for change in (
            "audit.enricher_invocations set invoked_at = invoked_at - $2",
            "media_enricher.run_requests set requested_at = requested_at - $2",
            "public.media_enrich_runs set created_at = created_at - $2,"
            " started_at = started_at - $2, heartbeat_at = heartbeat_at - $2",
        ):
            self._database.rows(
                f"update {change.replace('$2', 'make_interval(secs => $2)')} where bucket = $1",
                *(self.bucket, seconds),
            )


@pytest.fixture
def requester(database: Database, objects: Objects) -> Requester:
    database.run("update media_enricher.run_requests set released_at = now()")
    return Requester(database, objects.bucket)


@pytest.fixture
def another(database: Database, requester: Requester) -> Requester:
    """Somebody else, at another bucket."""
    return Requester(database, Objects(database).bucket)


def test_a_request_is_reserved_started_and_found_again_until_its_run_ends(
    requester: Requester,
) -> None:
    first = requester.ask(prefix="a/", max_files=5, mode="stale", depth="header", trigger="http")
    assert (first["outcome"], first["is_new"], first["run"]) == ("queued", True, None)
    request = first["request"]
    assert {name: request[name] for name in ("bucket", "prefix", "max_files", "mode", "depth")} == {
        "bucket": requester.bucket,
        "prefix": "a/",
        "max_files": 5,
        "mode": "stale",
        "depth": "header",
    }

    run = requester.start(first)

    assert (run["status"], run["flow"], run["trigger"]) == ("queued", "backfill", "http")
    assert (run["prefix"], run["max_files"], run["mode"]) == ("a/", 5, "stale")
    assert run["requested_by"] == requester.caller["user_id"]
    again = requester.ask(prefix="a/")
    assert (again["outcome"], again["run"]["id"]) == ("under_way", run["id"])
    assert requester.ask(prefix="b/")["is_new"]  # another prefix is another run
    for end in ("running", "completed"):
        assert requester.ask(prefix="a/")["outcome"] == "under_way"
        requester.record(run["id"], status=end)
    assert requester.ask(prefix="a/")["is_new"]


def test_fifty_at_once_get_one_request(postgres: Postgres, requester: Requester) -> None:
    answers: list[Answer] = []
    start = threading.Barrier(50)

    def ask() -> None:
        connection = Database(postgres.url())
        own = Requester(connection, requester.bucket)
        start.wait()
        answers.append(own.ask())
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    assert [answer["is_new"] for answer in answers].count(True) == 1
    assert len({answer["request"]["id"] for answer in answers}) == 1
    assert len(requester.audits()) == 50


def test_a_gateway_that_died_before_it_started_the_run_leaves_it_to_the_next(
    requester: Requester,
) -> None:
    abandoned = requester.ask()
    next_one = requester.ask()
    assert (next_one["outcome"], next_one["is_new"]) == ("queued", False)
    assert next_one["request"]["id"] == abandoned["request"]["id"]
    assert next_one["request"]["run_id"] is None
    run = requester.start(next_one)
    late = requester.start(abandoned)  # it had only been slow, and Prefect gave it another run
    assert late["id"] == run["id"]


@pytest.mark.parametrize("is_started", [False, True])
def test_a_request_that_is_given_up_makes_room(requester: Requester, is_started: bool) -> None:
    """Prefect can't start it, or knows better than the run's row that it has ended."""
    first = requester.ask()
    if is_started:
        requester.start(first)
    requester.release(first)
    second = requester.ask()
    assert second["is_new"]
    assert second["request"]["id"] != first["request"]["id"]


def test_a_run_whose_row_was_deleted_does_not_block_its_bucket(
    database: Database, requester: Requester
) -> None:
    run = requester.start(requester.ask())
    database.rows("delete from public.media_enrich_runs where id = $1", run["id"])
    assert requester.ask()["is_new"]


def test_a_requested_run_that_went_silent_does_not_block_its_bucket(requester: Requester) -> None:
    run = requester.start(requester.ask())
    requester.age(2 * SILENCE_SECONDS)
    assert requester.ask()["outcome"] == "under_way"  # it waits for a worker
    requester.record(run["id"], status="running")
    assert requester.ask()["outcome"] == "under_way"
    requester.age(2 * SILENCE_SECONDS)
    assert requester.ask()["is_new"]


@pytest.mark.parametrize("status", ["queued", "running"])
def test_a_run_that_nobody_requested_is_found_while_it_shows_signs_of_life(
    requester: Requester, status: str
) -> None:
    run_id = str(uuid4())
    requester.record(run_id, bucket=requester.bucket, prefix="a/", status=status)
    found = requester.ask(prefix="a/")
    assert (found["outcome"], found["request"], found["is_new"]) == ("under_way", None, False)
    assert found["run"]["id"] == run_id
    assert str(requester.audited(found)["run_id"]) == run_id
    assert requester.ask(prefix="b/")["is_new"]
    requester.age(2 * SILENCE_SECONDS)
    assert requester.ask(prefix="a/")["is_new"]


def test_a_sweep_waits_for_any_run_in_its_bucket(requester: Requester, another: Requester) -> None:
    sweep: dict[str, Any] = {"route": "cron", "is_exclusive": True, "trigger": "schedule"}
    run = requester.start(requester.ask(prefix="a/"))
    found = requester.ask(**sweep)
    assert (found["outcome"], found["run"]["id"]) == ("under_way", run["id"])
    assert another.ask(**sweep)["is_new"]
    requester.record(run["id"], status="completed")
    requester.record(
        by_hand := str(uuid4()), bucket=requester.bucket, prefix="b/", status="running"
    )
    assert requester.ask(**sweep)["run"]["id"] == by_hand
    requester.record(by_hand, status="failed")
    own = requester.ask(**sweep)
    assert own["is_new"]
    assert requester.start(own)["trigger"] == "schedule"


def test_single_objects_and_backfills_do_not_wait_for_each_other(requester: Requester) -> None:
    requester.start(requester.ask())
    objects = {"route": "enrich", "flow": "enrich-object", "objects": [{"path": "a.jpg"}]}
    single = requester.ask(limits={"active_runs": 1}, **objects)
    assert single["is_new"]
    assert requester.start(single)["flow"] == "enrich-object"


def test_only_so_many_backfills_at_once_and_ended_ones_make_room(
    requester: Requester, another: Requester
) -> None:
    limits = {"active_runs": 2}
    first = requester.start(requester.ask(limits, prefix="a/"))
    requester.start(requester.ask(limits, prefix="b/"))
    refused = another.ask(limits)
    assert (refused["outcome"], refused["limited_by"]) == ("too_many_runs", "all")
    assert refused["request"] is None
    assert requester.ask(limits, prefix="b/")["outcome"] == "under_way"  # it is no further run
    requester.record(first["id"], status="cancelled")
    assert another.ask(limits)["is_new"]


def test_what_a_dead_gateway_reserved_does_not_take_up_room_for_ever(
    requester: Requester, another: Requester
) -> None:
    requester.ask()
    assert another.ask({"active_runs": 1})["outcome"] == "too_many_runs"
    requester.age(2 * SILENCE_SECONDS)
    assert another.ask({"active_runs": 1})["is_new"]


def test_a_caller_may_ask_so_often_a_minute_and_is_told_when_again(
    database: Database, requester: Requester
) -> None:
    limits = {"requests_per_minute": 3}
    for number in range(3):
        assert requester.ask(limits, prefix=f"{number}/")["outcome"] == "queued"
        requester.age(10)
    for _ in range(3):  # being refused does not make it any longer
        limited = requester.ask(limits, prefix="3/")
        assert limited["outcome"] == "rate_limited"
        assert 29 <= limited["retry_after"] <= 30  # the first was 30 s ago
    assert Requester(database, requester.bucket).ask(limits, prefix="3/")["outcome"] == "queued"
    requester.age(31)
    assert requester.ask(limits, prefix="5/")["outcome"] == "queued"


def test_callers_without_an_id_share_the_limit_of_their_role(requester: Requester) -> None:
    requester.caller = {"role": f"role-{uuid4()}"}
    assert requester.ask({"requests_per_minute": 1})["outcome"] == "queued"
    assert requester.ask({"requests_per_minute": 1})["outcome"] == "rate_limited"


def test_dry_runs_and_wrong_names_count_towards_the_limit_too(requester: Requester) -> None:
    limits = {"requests_per_minute": 2}
    assert requester.ask(limits, is_dry_run=True)["outcome"] == "counted"
    assert requester.ask(limits, bucket="no-such-bucket")["outcome"] == "unknown_bucket"
    assert requester.ask(limits)["outcome"] == "rate_limited"


def test_a_second_look_at_a_request_is_audited_and_counted_once(requester: Requester) -> None:
    limits, invocation_id = {"requests_per_minute": 1}, str(uuid4())
    first = requester.ask(limits, invocation_id=invocation_id, idempotency_key="k")
    run = requester.start(first)
    requester.record(run["id"], status="completed")
    second = requester.ask(limits, invocation_id=invocation_id, idempotency_key="k")
    assert (second["outcome"], second["is_new"]) == ("queued", True)
    (row,) = requester.audits()
    assert str(row["id"]) == invocation_id == second["invocation_id"]
    assert requester.ask(limits, idempotency_key="k")["outcome"] == "rate_limited"
    again = requester.ask(idempotency_key="k")
    assert again["request"]["id"] == second["request"]["id"]


def test_asking_again_after_a_refusal_does_not_get_around_the_limit(requester: Requester) -> None:
    limits, invocation_id = {"requests_per_minute": 1}, str(uuid4())
    requester.ask(limits)
    for _ in range(2):
        assert requester.ask(limits, invocation_id=invocation_id)["outcome"] == "rate_limited"


def test_an_idempotency_key_gives_the_same_run_however_it_ended(requester: Requester) -> None:
    first = requester.ask(idempotency_key="key", prefix="a/")
    unstarted = requester.ask(idempotency_key="key", prefix="a/")
    assert (unstarted["outcome"], unstarted["run"]) == ("repeated", None)
    assert unstarted["request"]["id"] == first["request"]["id"]
    run = requester.start(first)
    requester.record(run["id"], status="failed")
    repeated = requester.ask(idempotency_key="key", prefix="a/")
    assert (repeated["outcome"], repeated["is_new"]) == ("repeated", False)
    assert (repeated["run"]["id"], repeated["run"]["status"]) == (run["id"], "failed")
    assert str(requester.audited(repeated)["run_id"]) == run["id"]


def test_a_run_with_a_budget_does_not_do_what_is_asked_of_a_part(requester: Requester) -> None:
    whole = requester.ask(prefix="", max_bytes=10**12)
    assert whole["request"]["max_bytes"] == 10**12
    run = requester.start(whole)
    assert run["max_bytes"] == 10**12
    assert requester.ask(prefix="a/")["is_new"], "the budget may end it before"
    assert requester.ask(prefix="")["run"]["id"] == run["id"]


@pytest.mark.parametrize(
    "changes",
    [
        {"prefix": "b/"},
        {"max_files": 1},
        {"max_bytes": 1},
        {"mode": "all"},
        {"depth": "header"},
        {"flow": "enrich-object", "objects": [{"path": "a.jpg"}]},
    ],
)
def test_an_idempotency_key_is_for_one_thing(requester: Requester, changes: dict[str, Any]) -> None:
    requester.ask(idempotency_key="key", prefix="a/")
    reused = requester.ask(**{"idempotency_key": "key", "prefix": "a/"} | changes)
    assert reused["outcome"] == "key_reused"
    assert (reused["request"], reused["run"]) == (None, None)


def test_another_callers_idempotency_key_is_another_key(
    database: Database, requester: Requester, another: Requester
) -> None:
    requester.ask(idempotency_key="key")
    assert another.ask(idempotency_key="key")["is_new"]


@pytest.mark.parametrize("is_requested", [True, False])
def test_an_idempotency_key_that_met_a_run_under_way_stays_with_that_run(
    requester: Requester, is_requested: bool
) -> None:
    run_id = str(uuid4())
    if is_requested:
        requester.start(requester.ask(), run_id)
    else:
        requester.record(run_id, bucket=requester.bucket, status="running")
    assert requester.ask(idempotency_key="key")["run"]["id"] == run_id
    requester.record(run_id, status="completed")
    repeated = requester.ask(idempotency_key="key")
    assert (repeated["outcome"], repeated["run"]["id"]) == ("repeated", run_id)


def test_an_idempotency_key_whose_run_could_not_be_started_is_as_good_as_new(
    requester: Requester,
) -> None:
    requester.release(requester.ask(idempotency_key="key", prefix="a/"))
    assert requester.ask(idempotency_key="key", prefix="b/")["is_new"]


def test_a_run_is_of_the_tenant_of_its_prefix_whoever_asked(requester: Requester) -> None:
    tenant = str(uuid4())
    asked = requester.ask(prefix=f"{tenant}/holidays/")
    assert asked["request"]["tenant_id"] == tenant
    assert requester.start(asked)["tenant_id"] == tenant
    by_hand = str(uuid4())
    requester.record(by_hand, bucket=requester.bucket, prefix=f"{tenant}/", status="running")
    assert requester.ask(prefix=f"{tenant}/")["run"]["tenant_id"] == tenant


def test_a_run_is_of_the_callers_tenant_where_its_prefix_tells_none(requester: Requester) -> None:
    tenant = str(uuid4())
    requester.caller["tenant_id"] = tenant
    assert requester.start(requester.ask())["tenant_id"] == tenant


def test_what_is_known_of_the_request_wins_over_what_a_hook_told_first(
    requester: Requester,
) -> None:
    asked, run_id = requester.ask(trigger="http"), str(uuid4())
    requester.record(
        run_id, bucket=requester.bucket, trigger="manual", status="running", succeeded=3
    )
    run = requester.start(asked, run_id)
    assert (run["trigger"], run["requested_by"]) == ("http", requester.caller["user_id"])
    assert (run["status"], run["succeeded"]) == ("running", 3)


def test_a_start_of_no_request_is_told(database: Database) -> None:
    with pytest.raises(asyncpg.PostgresError, match="there is no request"):
        database.rows("select public.media_start_run($1, $1, null)", uuid4())


OUTCOMES: dict[str, tuple[bool, int]] = {
    "refused": (False, 403),
    "rate_limited": (False, 429),
    "unknown_bucket": (True, 404),
    "counted": (True, 200),
    "repeated": (True, 202),
    "key_reused": (True, 422),
    "under_way": (True, 200),
    "too_many_runs": (False, 429),
    "queued": (True, 202),
}


def _reach(requester: Requester, outcome: str) -> Answer:
    """Ask so that it comes to this."""
    limits: dict[str, Any] = {}
    asked: dict[str, Any] = {}
    match outcome:
        case "refused":
            asked = {"refusal": {"http_status": 403, "reason": "not_admin"}}
        case "rate_limited":
            requester.ask()
            limits = {"requests_per_minute": 1}
        case "unknown_bucket":
            asked = {"bucket": "no-such-bucket"}
        case "counted":
            asked = {"is_dry_run": True}
        case "repeated" | "key_reused":
            requester.ask(idempotency_key="key")
            asked = {"idempotency_key": "key", "max_files": 3 if outcome == "key_reused" else None}
        case "under_way":
            requester.start(requester.ask())
        case "too_many_runs":
            requester.ask(prefix="elsewhere/")
            limits = {"active_runs": 1}
    return requester.ask(limits, **asked)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_is_a_row_of_the_audit(requester: Requester, outcome: str) -> None:
    answer = _reach(requester, outcome)
    assert answer["outcome"] == outcome
    row = requester.audited(answer)
    assert (row["is_allowed"], row["http_status"]) == OUTCOMES[outcome]
    assert row["reason"] == ("not_admin" if outcome == "refused" else outcome)
    assert (row["route"], row["flow"]) == ("backfill", "backfill")
    assert (row["caller_role"], str(row["user_id"])) == (
        "authenticated",
        requester.caller["user_id"],
    )


@pytest.mark.parametrize("outcome", ["refused", "rate_limited", "unknown_bucket", "too_many_runs"])
def test_what_is_not_let_through_leaves_nothing_but_its_row(
    database: Database, requester: Requester, outcome: str
) -> None:
    def left() -> list[Any]:
        return [
            database.value(f"select count(*) from {table}")
            for table in (
                "media_enricher.run_requests where released_at is null",
                "media_enricher.idempotency_keys",
                "media_enricher.requested_objects",
                "public.media_enrich_runs",
            )
        ]

    limits = {"requests_per_minute": 1, "active_runs": 0}
    if outcome == "rate_limited":
        requester.ask(is_dry_run=True)
    before = left()
    answer = requester.ask(
        limits,
        bucket="no-such-bucket" if outcome == "unknown_bucket" else requester.bucket,
        idempotency_key="key",
        refusal={"http_status": 401, "reason": "bad_token"} if outcome == "refused" else None,
    )
    assert (answer["outcome"], answer["request"], answer["run"]) == (outcome, None, None)
    assert left() == before


def test_the_audit_says_who_what_and_from_where(requester: Requester) -> None:
    tenant = str(uuid4())
    requester.caller["tenant_id"] = tenant
    answer = requester.ask(
        route="enrich", flow="enrich-object", prefix=f"{tenant}/", mode="all", depth="header",
        max_files=7, objects=[{"path": f"{tenant}/a.jpg"}, {"path": f"{tenant}/b.jpg"}],
        ip_address="2001:db8::7", user_agent="curl/8",
    )  # fmt: skip
    run = requester.start(answer)
    row = requester.audited(answer)
    assert (row["route"], row["bucket"], row["prefix"]) == (
        "enrich",
        requester.bucket,
        f"{tenant}/",
    )
    assert row["path"] == f"{tenant}/a.jpg"
    assert (row["mode"], row["depth"], row["max_files"]) == ("all", "header", 7)
    assert (str(row["tenant_id"]), str(row["run_id"])) == (tenant, run["id"])
    assert (str(row["ip_address"]), row["user_agent"]) == ("2001:db8::7", "curl/8")


@pytest.mark.parametrize(
    "nonsense",
    [
        {"bucket": "b" * 5000, "prefix": "\U0001f600" * 5000, "user_agent": "\U0001f4a3" * 5000},
        {"bucket": None, "prefix": None, "user_agent": None, "flow": None, "caller": None},
        {"caller": {"role": "x" * 5000, "user_id": "u" * 5000, "tenant_id": "not one"}},
        {"caller": [], "objects": "none", "ip_address": "999.1.1.1"},
        {"objects": [{"path": "p" * 5000}], "ip_address": "' or 1=1 --"},
        {"objects": [1, None, {}], "ip_address": {}, "mode": {"a": [1]}, "depth": 3},
        {"max_files": 10**40, "user_agent": 'a"\\\n\t\x7f%s{}'},
        {"max_files": "many", "caller": "me"},
        {"max_files": -1.5e300, "is_dry_run": "perhaps", "invocation_id": "none"},
    ],
)
def test_whatever_is_sent_is_refused_and_audited(
    requester: Requester, nonsense: dict[str, Any]
) -> None:
    refusal = {"http_status": 422, "reason": "r" * 5000}
    answer = requester.ask(**nonsense | {"refusal": refusal})
    assert answer["outcome"] == "refused"
    row = requester.audited(answer)
    assert (row["is_allowed"], row["http_status"], row["reason"]) == (False, 422, "r" * 500)
    lengths = {"user_agent": 500, "bucket": 1024, "prefix": 1024, "path": 1024}
    assert all(len(row[name] or "") <= most for name, most in lengths.items())


def test_an_allowed_request_with_a_prefix_of_any_length_is_reserved(requester: Requester) -> None:
    prefix = "".join(chr(0x1F300 + number) for number in range(1024))
    first = requester.ask(prefix=prefix)
    assert first["is_new"]
    assert requester.ask(prefix=prefix)["request"]["id"] == first["request"]["id"]
    assert requester.start(first)["prefix"] == prefix


def test_an_answer_that_turned_out_otherwise_is_settled(requester: Requester) -> None:
    answer = requester.ask()
    requester.settle(answer, 503, "unavailable")
    row = requester.audited(answer)
    assert (row["http_status"], row["reason"], row["is_allowed"]) == (503, "unavailable", True)


def test_the_newest_requests_ride_on_an_index(database: Database, requester: Requester) -> None:
    """The limit per minute is looked up at each request, in an audit of years."""
    requester.ask()
    database.run("begin; set local enable_seqscan = off")
    try:
        plan = "\n".join(
            database.column(
                """
                explain select invoked_at from audit.enricher_invocations
                where requested_by = 'x' and is_allowed
                  and invoked_at > now() - interval '1 minute'
                order by invoked_at desc offset 2 limit 1
                """
            )
        )
    finally:
        database.run("rollback")
    assert "enricher_invocations_requested_by_idx" in plan
    assert "Sort" not in plan


NO_ID = "'00000000-0000-0000-0000-000000000000'"
CALLS = [
    "select public.media_request_run('{}', '{}')",
    f"select public.media_start_run({NO_ID}, {NO_ID}, {NO_ID})",
    f"select public.media_release_request({NO_ID})",
    f"select public.media_settle_invocation({NO_ID}, 200, '')",
    "select public.media_requested_objects('b', '', 'full', 1, '{}', 3, 1)",
    "select public.media_fulfil_requests('b', '', '{}', 1)",
    f"select public.media_finish_requests({NO_ID}, 'b', '')",
    f"select public.media_run_failures({NO_ID})",
]
TABLES = [
    f"select from media_enricher.{table}"
    for table in (
        *("run_requests", "idempotency_keys", "requested_objects"),
        *("snapshot_ledgers", "run_failures", "run_deviations"),
    )
]
HIDDEN = ["select from audit.enricher_invocations", "select flow from public.media_enrich_runs"]


def refused(database: Database, role: str, statement: str) -> bool:
    database.run(f"begin; set local role {role}")
    try:
        database.rows(statement)
    except asyncpg.InsufficientPrivilegeError:
        return True
    finally:
        database.run("rollback")
    return False


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("statement", [*CALLS, *TABLES, *HIDDEN])
def test_clients_can_neither_call_nor_see_any_of_it(
    database: Database, statement: str, role: str
) -> None:
    assert refused(database, role, statement)


@pytest.mark.parametrize("statement", TABLES)
def test_the_service_role_reaches_the_tables_through_functions_alone(
    database: Database, statement: str
) -> None:
    assert refused(database, "service_role", statement)
