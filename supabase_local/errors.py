"""The one exception for what can go wrong on this machine."""

from __future__ import annotations


class LocalStackError(Exception):
    """The local stack, or a server started beside it, cannot do what was asked.

    The message says why and what to do.
    """
