"""What can go wrong between us and Supabase, in one vocabulary.

Every call to Supabase, through whichever client, raises `SupabaseError` and nothing else.
"""

from __future__ import annotations

from media_enricher.models import ErrorCode


class SupabaseError(Exception):
    """Supabase did not do what was asked.

    Attributes:
        code: why, in the words of `media_assets.error_code`.
        retry_after: seconds that the server asked us to wait, where it did.
        is_overload: the server asked for less (429, 503, 544), so fewer requests at once may help.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retry_after: float | None = None,
        is_overload: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        self.is_overload = is_overload

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code.is_transient
