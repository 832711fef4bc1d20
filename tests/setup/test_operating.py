"""What docs/guides/operate.md says, done as it says: by Prefect's API, as its UI does, and CLI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from media_enricher.demo.filling import settings_of
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from supabase_local import LocalStack
from tests.prefect_api import PrefectApi
from tests.setup.conftest import Operator
from tests.waiting import wait_for

BACKFILL = "backfill/backfill"
NIGHTLY = "backfill/backfill-nightly"
OBJECTS = "enrich-object/enrich-object"


def test_a_run_that_is_started_in_the_ui_completes(
    operator: Operator, prefect: PrefectApi, site_bucket: Callable[..., str]
) -> None:
    run_id = prefect.start_run(BACKFILL, bucket=site_bucket("a.jpg", "b.jpg"), depth="header")

    row = operator.wait_for_row(f"id=eq.{run_id}&status=eq.completed")
    assert (row["trigger"], row["succeeded"]) == ("manual", 2)


@pytest.fixture
def nightly(
    operator: Operator, prefect: PrefectApi, site_bucket: Callable[..., str]
) -> Iterator[str]:
    """The nightly backfill with a bucket, and a second schedule that is soon due; its id."""
    operator.run("media-enricher", "setup", "--nightly", site_bucket("a.jpg"))
    deployment = prefect.deployment(NIGHTLY)
    soon = (datetime.now(UTC) + timedelta(seconds=10)).isoformat()
    (schedule,) = prefect.ask(
        "POST",
        f"/deployments/{deployment['id']}/schedules",
        [{"active": True, "schedule": {"interval": 10, "anchor_date": soon}}],
    )
    yield schedule["id"]
    prefect.ask("DELETE", f"/deployments/{deployment['id']}/schedules/{schedule['id']}")
    prefect.ask("DELETE", "/variables/name/media_enricher_nightly_bucket")
    operator.run("media-enricher", "setup")


def test_a_schedule_fires_by_itself_can_be_paused_and_resumed(
    operator: Operator, prefect: PrefectApi, nightly: str
) -> None:
    bucket = prefect.deployment(NIGHTLY)["parameters"]["bucket"]
    done = f"bucket=eq.{bucket}&status=eq.completed&order=created_at"

    first = operator.wait_for_row(done, seconds=60)
    assert first["trigger"] == "schedule"

    operator.run("prefect", "deployment", "schedule", "pause", NIGHTLY, nightly)
    soon = {"before_": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    due = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": soon}
    assert prefect.runs_of(NIGHTLY, **due) == []

    wait_for(lambda: not prefect.runs_of(NIGHTLY, state={"type": {"any_": ["PENDING", "RUNNING"]}}))
    before = len(operator.rows(done))
    operator.run("prefect", "deployment", "schedule", "resume", NIGHTLY, nightly)
    assert wait_for(lambda: operator.rows(done)[before:])[0]["trigger"] == "schedule"


def test_a_failed_run_is_retried_under_its_own_id(
    operator: Operator, prefect: PrefectApi, site_stack: LocalStack
) -> None:
    bucket = Bucket(connect(settings_of(site_stack)), "made-too-late")
    run_id = prefect.start_run(BACKFILL, bucket=bucket.name)
    first = operator.wait_for_row(f"id=eq.{run_id}&status=eq.failed")

    prefect.set_state(run_id, type="SCHEDULED", name="AwaitingRetry", message="Retry from the UI")
    later = f"finished_at=gt.{quote(first['finished_at'])}"
    operator.wait_for_row(f"id=eq.{run_id}&status=eq.failed&{later}")  # it ran, and failed again

    bucket.create_private()
    operator.run("prefect", "flow-run", "retry", run_id)
    row = operator.wait_for_row(f"id=eq.{run_id}&status=eq.completed")
    assert (row["error"], row["trigger"]) == (None, "manual")


def test_only_what_failed_is_done_again(
    operator: Operator,
    prefect: PrefectApi,
    site_stack: LocalStack,
    site_bucket: Callable[..., str],
) -> None:
    name = site_bucket("good.jpg")
    Bucket(connect(settings_of(site_stack)), name).upload("bad.jpg", b"\xff\xd8\xff", "image/jpeg")
    first = prefect.start_run(BACKFILL, bucket=name)
    row = operator.wait_for_row(f"id=eq.{first}&status=eq.completed")
    assert (row["succeeded"], row["failed"]) == (1, 1)

    second = prefect.start_run(BACKFILL, bucket=name, mode="failed")

    row = operator.wait_for_row(f"id=eq.{second}&status=eq.completed")
    assert (row["total_files"], row["failed"]) == (1, 1)


class Slots:
    """Runs that take up the slots of a deployment, without any process."""

    def __init__(self, prefect: PrefectApi) -> None:
        self._prefect = prefect
        self._runs: list[str] = []

    def take_all(self, deployment: str) -> None:
        found = self._prefect.deployment(deployment)
        later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
        for _ in range(found["global_concurrency_limit"]["limit"]):
            run = self._prefect.ask(
                "POST",
                f"/deployments/{found['id']}/create_flow_run",
                {"parameters": {"bucket": "none"}, "state": later},
            )
            self._runs.append(run["id"])
            taken = self._prefect.set_state(run["id"], type="PENDING")
            assert taken["status"] == "ACCEPT", taken

    def give_back(self) -> None:
        for run in self._runs:
            self._prefect.set_state(run, type="CANCELLED")


@pytest.fixture
def slots(prefect: PrefectApi) -> Iterator[Slots]:
    slots = Slots(prefect)
    yield slots
    slots.give_back()


def test_a_run_beyond_the_limit_waits_or_is_cancelled_as_its_deployment_says(
    operator: Operator, prefect: PrefectApi, slots: Slots
) -> None:
    slots.take_all(NIGHTLY)
    slots.take_all(OBJECTS)

    nightly = prefect.start_run(NIGHTLY, bucket="none")
    asked_for = prefect.start_run(OBJECTS, bucket="none")

    prefect.wait_for_state(nightly, "CANCELLED")
    prefect.wait_for_state(asked_for, "AwaitingConcurrencySlot")
    assert operator.rows(f"id=in.({nightly},{asked_for})") == []
    prefect.set_state(asked_for, type="CANCELLED")
