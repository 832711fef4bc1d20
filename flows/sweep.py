"""The job that runs every few minutes: what others lost, forgot or left behind is put right."""

# No `from __future__ import annotations` here: Prefect loads a deployment's flow from its file, as
# a module that nobody can look up, and then could not tell what the parameters' types are.

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from media_enricher.parameters import BucketName
from media_enricher.settings import settings
from tasks.keep_current import drain, keep_current
from tasks.purge import purge
from tasks.reconcile import reconcile
from tasks.settle import settle


@flow(name="sweep", flow_run_name="sweep", persist_result=False)
def sweep(buckets: list[BucketName] | None = None) -> State[Any]:
    """Set rows and snapshots of dead runs right, and start runs for what is missing from buckets.

    Safe to start at any time, twice, or again after it was killed. It starts no run for a bucket
    where one is under way, and has no row among the runs itself.

    Args:
        buckets: Those to keep current; empty for those of MEDIA_ENRICHER_BUCKETS.
    """
    # In this order: the dead must not keep their bucket from a new run, nor may a deleted bucket
    # get one. Whatever fails, the rest is done.
    states: list[State[list[str]]] = [
        reconcile(return_state=True),
        settle(return_state=True),
        purge(return_state=True),
        *(keep_current(bucket, return_state=True) for bucket in buckets or settings().buckets),
        drain(return_state=True),
    ]
    return _conclusion(states)


def _conclusion(states: list[State[list[str]]]) -> State[Any]:
    """The final state; its message says what was done and what went wrong."""
    results = [state.result(raise_on_failure=False) for state in states]
    failures = [str(each) for each in results if isinstance(each, BaseException)]
    done = [each for result in results if isinstance(result, list) for each in result]
    message = "; ".join(failures + done) or "Nothing to do"
    return Failed(message=message) if failures else Completed(message=message)
