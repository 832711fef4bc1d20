"""The paths of the parts of a snapshot: `bucket=…/date=YYYY-MM-DD/run_id=…/part-NNNNN.parquet`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import quote

PART = re.compile(r"part-(\d{5,})\.parquet")

_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_!.*'() &$@=;:+,?-]")
"""What Supabase Storage refuses in the name of an object; `/` too, for it ends the name here."""


def escape_for_folder(value: str) -> str:
    """A partition's value in a folder's name: percent-encoded, as Hive and its readers do."""
    return quote(value, safe=" ")


def escape_for_storage(value: str) -> str:
    """A partition's value as part of an object's name in Storage.

    Whatever the API accepts as a bucket's name, it accepts in an object's name too, so that stands
    as it is. Storage refuses `%`; a character that only SQL can have put into a bucket's name is
    written `!XX` (hexadecimal UTF-8). The column `bucket` in the file always has the true name.
    """
    return _NOT_IN_A_KEY.sub(
        lambda found: "".join(f"!{byte:02X}" for byte in found[0].encode()), value
    )


def run_folder(bucket: str, started_at: datetime, run_id: str) -> str:
    """The folder of a run's parts. `bucket` and `run_id` come escaped; the date is that in UTC."""
    return f"bucket={bucket}/date={started_at.astimezone(UTC):%Y-%m-%d}/run_id={run_id}"


def part_name(number: int) -> str:
    """The file name of a part.

    >>> part_name(7)
    'part-00007.parquet'
    """
    return f"part-{number:05d}.parquet"


def unrecorded_name(number: int) -> str:
    """The file name of a part until the database has recorded it.

    Readers do not take it for a part: neither ours (`part_number` gives None) nor those that look
    for `*.parquet`, or leave out what begins with `_`.

    >>> unrecorded_name(7)
    '_part-00007.parquet.unrecorded'
    """
    return f"_{part_name(number)}.unrecorded"


def part_number(name: str) -> int | None:
    """The number in the file name of a recorded part; None if it is not one.

    >>> part_number("part-00007.parquet")
    7
    """
    found = PART.fullmatch(name)
    return int(found[1]) if found else None
