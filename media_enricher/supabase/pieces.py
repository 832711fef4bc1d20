"""Pieces of a bucket: ranges of paths that a statement of the database looks at as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from supabase import Client

from media_enricher.models import Selection
from media_enricher.supabase.retrying import call

PIECE_ROWS = 50_000
"""The most objects in a piece, and the most assets. Comparing them takes a tenth of a second on a
laptop; a hosted project cancels a statement after 8 s."""

_PIECES_A_CALL = 20


def pieces(client: Client, selection: Selection) -> Iterator[Selection]:
    """Cut a selection into pieces, in the order of their paths.

    Yields:
        At least one piece. Together they are the selection.

    Raises:
        SupabaseError: the database did not respond.
    """
    after = selection.after
    while True:
        ends = _ends(client, msgspec.structs.replace(selection, after=after))
        for end in ends:
            yield msgspec.structs.replace(selection, after=after, until=end)
            after = end
        if len(ends) < _PIECES_A_CALL:
            yield msgspec.structs.replace(selection, after=after)
            return


def _ends(client: Client, selection: Selection) -> list[str]:
    """The last paths of the next pieces; the rest of the selection is less than a piece."""
    arguments = {
        "p_bucket": selection.bucket,
        "p_prefix": selection.prefix,
        "p_after": selection.after,
        "p_until": selection.until,
        "p_rows": PIECE_ROWS,
        "p_most": _PIECES_A_CALL,
    }
    name = "media_piece_ends"
    rows: Any = call(name, lambda: client.rpc(name, arguments).execute().data)
    return msgspec.convert(rows, list[str])
