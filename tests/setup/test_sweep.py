"""The sweep as deployed: the work pool runs it, and what it starts."""

from __future__ import annotations

from collections.abc import Callable

from tests.prefect_api import PrefectApi
from tests.setup.conftest import Operator


def test_it_starts_a_run_for_what_is_missing_and_the_worker_takes_it_up(
    operator: Operator, prefect: PrefectApi, site_bucket: Callable[..., str]
) -> None:
    bucket = site_bucket("a.jpg", "b.jpg")
    while True:
        sweep = prefect.start_run("sweep/sweep", buckets=[bucket])
        prefect.wait_for_state(sweep, "COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        state = prefect.state_of(sweep)
        if state["type"] != "CANCELLED":  # as it is while the scheduled one is under way
            break
    assert state["type"] == "COMPLETED", state
    row = operator.wait_for_row(f"bucket=eq.{bucket}&status=eq.completed")
    assert state["message"] == f"run {row['id']} enriches the missing objects of {bucket}"
    assert (row["trigger"], row["succeeded"]) == ("schedule", 2)
