"""`media-enricher recount BUCKET`: count the assets of a bucket anew, for the dashboard."""

from __future__ import annotations

from typing import Annotated

import typer

from media_enricher.cli.console import BAD_INPUT, JOB_FAILED, err_console, fail, step
from media_enricher.settings import SettingsError, supabase_settings
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.client import connect
from media_enricher.supabase.errors import SupabaseError


def recount(
    bucket: Annotated[str, typer.Argument(help="The Storage bucket whose assets to count.")],
) -> None:
    """Count the assets of a bucket anew, into the totals that the dashboard shows.

    Needed only if rows were written while triggers were off, as by a restore of the data alone.
    Runs may go on meanwhile. Until it ends, the totals are of what was counted so far. If it is
    interrupted, run it again: it goes on.
    """
    counted = 0
    try:
        assets = AssetTable(connect(supabase_settings()))
        with step() as done, err_console.status(f"Counting {bucket!r}") as status:
            for counted in assets.recount(bucket):
                status.update(f"Counting {bucket!r}: {counted:,} rows")
            done(f"Counted {counted:,} rows")
    except SettingsError as error:
        fail(str(error), BAD_INPUT)
    except SupabaseError as error:
        fail(str(error), JOB_FAILED)
