"""The one line of JSON that the stack's process prints: what runs, or why nothing does."""

from __future__ import annotations

import msgspec

from supabase_local.folder import Running


class Announcement(msgspec.Struct, omit_defaults=True):
    """Printed once the stack answers, or cannot. One of both is set."""

    running: Running | None = None
    error: str | None = None
