"""The command line: `media-enricher …`. One file per command; this one only gathers them."""

from __future__ import annotations

import typer

from media_enricher.cli.backfill import backfill
from media_enricher.cli.changes import app as changes
from media_enricher.cli.doctor import doctor
from media_enricher.cli.local import app as local
from media_enricher.cli.local import without_extra
from media_enricher.cli.migrate import migrate
from media_enricher.cli.probe import probe
from media_enricher.cli.project_admins import app as project_admins
from media_enricher.cli.recount import recount
from media_enricher.cli.repair_types import repair_types
from media_enricher.cli.runs import runs
from media_enricher.cli.serve import serve
from media_enricher.cli.setup import setup
from media_enricher.cli.snapshot import snapshot

app = typer.Typer(
    name="media-enricher",
    help="Metadata for every object of a Supabase Storage bucket.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold keys
)
try:
    from media_enricher.cli.demo import demo
    from media_enricher.cli.up import up
except ImportError as missing:  # the extra `local` is not installed, as on a server
    app.command("demo")(without_extra(missing))
    app.command("up")(without_extra(missing))
else:
    app.command()(demo)
    app.command()(up)
app.command()(backfill)
app.command()(doctor)
app.command()(migrate)
app.command()(probe)
app.command()(recount)
app.command("repair-types")(repair_types)
app.command()(runs)
app.command()(serve)
app.command()(setup)
app.command()(snapshot)
app.add_typer(changes, name="changes")
app.add_typer(local, name="local")
app.add_typer(project_admins, name="project-admins")
