"""`media-enricher setup`: made once, then found; and what it says when it cannot."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from media_enricher.dev.environment import DevEnvironment
from tests.prefect_api import PrefectApi
from tests.setup.conftest import Operator

DEPLOYMENTS = {
    "backfill/backfill": "backfills",
    "backfill/backfill-nightly": "backfills",
    "backfill-sharded/backfill-sharded": "coordination",
    "enrich-object/enrich-object": "objects",
    "process-queue/process-queue": "coordination",
    "repair-types/repair-types": "backfills",
    "sweep/sweep": "coordination",
}
AUTOMATIONS = {"media-enricher-backfill-on-request", "media-enricher-crash-zombies"}


def outcomes(said: str) -> dict[str, str]:
    """What became of each thing, as the command printed it."""
    lines = [line for line in said.splitlines() if line and not line.startswith("--- started ")]
    return {" ".join(line[10:].split("  ")[0].split()): line[:10].strip() for line in lines}


def resources(prefect: PrefectApi) -> dict[str, Any]:
    """All that a set-up makes: ids, and when each was last changed."""
    found = [
        prefect.ask("GET", "/work_pools/media-enricher"),
        *prefect.ask("POST", "/work_pools/media-enricher/queues/filter", {}),
        *prefect.ask("POST", "/block_documents/filter", {}),
        *prefect.ask("POST", "/deployments/filter", {}),
        *prefect.ask("POST", "/automations/filter", {}),
    ]
    # Of queues and deployments Prefect itself notes when a worker last asked for work.
    return {each["id"]: None if "last_polled" in each else each["updated"] for each in found}


def test_on_an_empty_server_all_of_it_is_made(site: DevEnvironment, prefect: PrefectApi) -> None:
    made = outcomes((site.logs / "setup.log").read_text())

    assert made.pop("block webhook/media-enricher-notifications") == "skipped"
    assert made.pop("automation media-enricher-notify-of-failures") == "skipped"
    assert made.pop("variable media_enricher_nightly_bucket") == "skipped"
    assert set(made.values()) == {"created"}
    assert {f"deployment {name.partition('/')[2]}" for name in DEPLOYMENTS} <= set(made)
    assert {f"automation {name}" for name in AUTOMATIONS} <= set(made)
    for name, queue in DEPLOYMENTS.items():
        deployment = prefect.deployment(name)
        assert (deployment["work_pool_name"], deployment["work_queue_name"]) == (
            "media-enricher",
            queue,
        )
        assert deployment["global_concurrency_limit"]["limit"] >= 1
    queues = prefect.ask("POST", "/work_pools/media-enricher/queues/filter", {})
    priorities = {queue["name"]: queue["priority"] for queue in queues}
    assert priorities["objects"] == 1 < priorities["coordination"] < priorities["backfills"]


def test_the_second_time_all_of_it_is_found_and_nothing_changes(
    operator: Operator, prefect: PrefectApi
) -> None:
    operator.run("media-enricher", "setup")  # for other tests may have changed something
    before = resources(prefect)

    again = outcomes(operator.run("media-enricher", "setup"))

    assert set(again.values()) <= {"unchanged", "skipped"}
    assert resources(prefect) == before


def test_keys_are_shown_to_nobody(
    operator: Operator, prefect: PrefectApi, site: DevEnvironment
) -> None:
    secret = site.environment()["SUPABASE_SECRET_KEY"]

    documents = prefect.ask("POST", "/block_documents/filter", {})
    jobs = prefect.ask("POST", "/deployments/filter", {})
    pool = prefect.ask("GET", "/work_pools/media-enricher")
    said = operator.run("media-enricher", "setup")

    assert "supabase-credentials" in json.dumps(documents)
    assert secret not in json.dumps([documents, jobs, pool]) + said


def test_the_nightly_backfill_is_off_until_it_has_a_bucket_and_stays_paused_if_it_was(
    operator: Operator, prefect: PrefectApi
) -> None:
    def nightly() -> tuple[str, bool, str | None]:
        deployment = prefect.deployment("backfill/backfill-nightly")
        (schedule,) = deployment["schedules"]
        return schedule["id"], schedule["active"], deployment["parameters"].get("bucket")

    first, is_active, bucket = nightly()
    assert (is_active, bucket) == (False, None)

    operator.run("media-enricher", "setup", "--nightly", "photos")
    assert nightly() == (first, True, "photos")

    operator.run("prefect", "deployment", "schedule", "pause", "backfill/backfill-nightly", first)
    operator.run("media-enricher", "setup", "--nightly", "others")
    assert nightly() == (first, False, "others")

    prefect.ask("DELETE", "/variables/name/media_enricher_nightly_bucket")
    operator.run("prefect", "--no-prompt", "deploy", "--name", "backfill-nightly")
    assert nightly() == (first, False, None)


def test_the_queue_is_processed_every_minute_where_buckets_are_watched(
    operator: Operator, prefect: PrefectApi
) -> None:
    def is_active() -> bool:
        (schedule,) = prefect.deployment("process-queue/process-queue")["schedules"]
        return bool(schedule["active"])

    assert not is_active()

    said = operator.run(
        "media-enricher", "setup", MEDIA_ENRICHER_BUCKETS="photos,media-enricher-results"
    )
    made = outcomes(said)
    assert made["watched bucket photos"] == "created"
    assert made["watched bucket media-enricher-results"] == "skipped"
    assert is_active()

    made = outcomes(operator.run("media-enricher", "setup"))
    assert made["watched bucket photos"] == "updated"
    assert not is_active()


def test_a_deployment_that_was_changed_by_hand_is_set_right(
    operator: Operator, prefect: PrefectApi
) -> None:
    operator.run("prefect", "--no-prompt", "deploy", "--all")
    backfill = prefect.deployment("backfill/backfill")
    assert "+" not in backfill["version"]

    assert outcomes(operator.run("media-enricher", "setup"))["deployment backfill"] == "updated"
    again = prefect.deployment("backfill/backfill")
    assert again["id"] == backfill["id"]
    assert again["version"].startswith(f"{backfill['version']}+")


def test_a_pool_of_another_type_is_not_touched(operator: Operator) -> None:
    code, said = operator.try_to_run("media-enricher", "setup", "--work-pool", "docker")

    assert code == 1
    assert "has the type process" in said
    assert "prefect work-pool delete media-enricher" in said


@pytest.mark.parametrize(
    ("environment", "complaint", "code"),
    [
        ({"PREFECT_API_AUTH_STRING": "prefect:wrong"}, "PREFECT_API_AUTH_STRING", 1),
        ({"PREFECT_API_URL": "http://127.0.0.1:{free}/api"}, "does not respond", 1),
        ({"PREFECT_API_URL": "", "PREFECT_HOME": "{folder}"}, "PREFECT_API_URL is not set", 1),
        (
            {"SUPABASE_SECRET_KEY": "", "SUPABASE_SERVICE_ROLE_KEY": ""},
            "SUPABASE_SECRET_KEY is not set",
            2,
        ),
        ({"MEDIA_ENRICHER_NOTIFICATION_URL": "ftp://secret"}, "must start with http", 2),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    environment: dict[str, str], complaint: str, code: int, operator: Operator, tmp_path: Path
) -> None:
    with socket.socket() as taken:  # bound, and not listening: nobody answers here
        taken.bind(("127.0.0.1", 0))
        values = {"free": taken.getsockname()[1], "folder": tmp_path}
        filled = {name: value.format(**values) for name, value in environment.items()}
        exit_code, said = operator.try_to_run("media-enricher", "setup", **filled)

    assert (exit_code, complaint in said) == (code, True), said
    assert "wrong" not in said
    assert "ftp://secret" not in said
