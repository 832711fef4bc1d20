"""What runs until it is stopped, as a context manager."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Stoppable(ABC):
    """Runs already. The end of its `with` block stops it, whether or not the block raised."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it and wait for its end. Stopping it again does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
