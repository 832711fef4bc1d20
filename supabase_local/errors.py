"""What can go wrong with the local stack, in one exception."""

from __future__ import annotations


class LocalStackError(Exception):
    """The local stack cannot do what was asked. The message says why and what to do."""
