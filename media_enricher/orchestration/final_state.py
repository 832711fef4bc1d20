"""The final state of a run: cancelled, or completed or failed according to its counters."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from media_enricher.models import RunStatus
from media_enricher.orchestration import resources
from media_enricher.orchestration.interruption import interruption, outside, until_heard


class Concludable(Protocol):
    """What `FinalState` needs of a run under way.

    Attributes:
        id: the id of the Prefect flow run.
    """

    id: str

    def summary(self) -> str:
        """What the run did, for people."""

    def failure_reason(self) -> str | None:
        """Why the run must end as failed; None if it need not."""


class FinalState:
    """A context manager around the work of a run; afterwards it knows the run's final state.

    It turns a KeyboardInterrupt into a cancellation, and lets every error through.
    """

    def __init__(self, run: Concludable, *, is_recorded: bool = True) -> None:
        """Enter nothing yet.

        Args:
            run: the run.
            is_recorded: whether it has a row in the table of runs.
        """
        self._run = run
        self._is_recorded = is_recorded
        self._was_interrupted = False
        self._signals = until_heard()

    def __enter__(self) -> Self:
        self._signals.__enter__()
        if stop := interruption():
            stop.when = outside(FinalState.__exit__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if stop := interruption():
            stop.hear()  # the work is done: an interruption that comes now is too late
        self._signals.__exit__(kind, error, traceback)
        self._was_interrupted = kind is KeyboardInterrupt
        return self._was_interrupted

    def state(self) -> State[Any]:
        """The final state for the flow to return; its message says what the run did.

        Raises:
            SupabaseError: the run table did not accept the cancellation.
        """
        did = self._run.summary()
        if self._was_interrupted:
            return self._cancelled(f"Cancelled: {did}")
        if reason := self._run.failure_reason():
            return Failed(message=f"{did}: {reason}")
        return Completed(message=did)

    def _cancelled(self, message: str) -> State[Any]:
        # Without a supervisor, no hook is called for a run that cancels itself.
        if self._is_recorded:
            resources.run_table().record(self._run.id, status=RunStatus.CANCELLED, error=message)
        return Cancelled(message=message)
