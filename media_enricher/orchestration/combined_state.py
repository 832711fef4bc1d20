"""The final state of a flow whose tasks do not depend on each other: each runs, whatever fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed


def combined_state(states: Sequence[State[list[str]]]) -> State[Any]:
    """The state that a flow ends with: failed if one of its tasks failed.

    Args:
        states: the final states of the tasks, each with a sentence per action as its result.

    Returns:
        A state whose message lists failures first, then actions.
    """
    results = [state.result(raise_on_failure=False) for state in states]
    failures = [str(each) for each in results if isinstance(each, BaseException)]
    done = [each for result in results if isinstance(result, list) for each in result]
    message = "; ".join(failures + done) or "Nothing to do"
    return Failed(message=message) if failures else Completed(message=message)
