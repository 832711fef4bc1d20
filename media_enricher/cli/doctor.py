"""`media-enricher doctor`: check the set-up, and say what to do about each problem."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.text import Text

from media_enricher.cli.console import JOB_FAILED, console
from media_enricher.doctor import CHECKS, Diagnosis, Setup, Verdict, diagnose

_MARKS = {
    Verdict.OK: ("✓", "green"),
    Verdict.FAILED: ("✗", "red"),
    Verdict.SKIPPED: ("·", "dim"),
}


def doctor(
    bucket: Annotated[str | None, typer.Option(help="Also check this bucket.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Check the set-up, and say what to do about each problem. Changes nothing."""
    diagnoses = []
    with Setup(bucket) as setup:
        for diagnosis in diagnose(CHECKS, setup):
            diagnoses.append(diagnosis)
            if not as_json:
                _print(diagnosis)
    if as_json:
        typer.echo(msgspec.json.encode(diagnoses))
    if any(diagnosis.verdict is Verdict.FAILED for diagnosis in diagnoses):
        raise typer.Exit(JOB_FAILED)


def _print(diagnosis: Diagnosis) -> None:
    mark, style = _MARKS[diagnosis.verdict]
    line = Text.assemble((mark, style), " ", (diagnosis.name, "bold"), ": ", diagnosis.found)
    console.print(line, soft_wrap=True)
    if diagnosis.remedy:
        console.print(Text(f"  → {diagnosis.remedy}", style="yellow"), soft_wrap=True)
