"""docs/reference/tables.md: from the definitions in sql/schemas/."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from docs.tools.attribute_docs import attribute_docs
from docs.tools.pages.metadata_fields import METADATA
from docs.tools.sql_tables import Column, Table, sql_tables
from docs.tools.tables import code, table
from media_enricher.models import EnrichRun, MediaAsset

TEMPLATE = """\
# Tables

## media_assets

`public.media_assets` has one row per object, unique on `(bucket, path)`. [Read the results](../guides/frontend.md) says who may read it. Beside the [metadata fields](metadata-fields.md) it has:

{assets}

`owner_id` and `user_id` each let their user read the row. Replace the function `public.media_tenant_id` for another rule of which tenant an object belongs to.

## media_enrich_runs

`public.media_enrich_runs` has one row per run; its id is that of the Prefect flow run. [Follow runs](../guides/frontend.md#follow-runs) has a query, and says who may read it. [Shards](../guides/scale-out.md#shards) have a row each, with the `parent_run_id` of the run that adds them up.

{runs}

## enricher_invocations

`audit.enricher_invocations` has a row for every request to start a run: see [the audit](../guides/runs-over-http.md#the-audit). Only the service role reads it.

{audit}

## type_repairs

`audit.type_repairs` has a row for every try to [put a content type right](../guides/repair-types.md). Only the service role reads it.

{repairs}

## What Media Enricher keeps for itself

The Data API does not show these tables. [The task cache](../guides/keys-and-task-cache.md#keep-the-task-cache-in-a-bucket) says more of `own_buckets`.

{others}
"""  # noqa: E501

ASSETS, RUNS, AUDIT, REPAIRS = (
    "public.media_assets",
    "public.media_enrich_runs",
    "audit.enricher_invocations",
    "audit.type_repairs",
)


def page() -> str:
    """The text of the page.

    Raises:
        LookupError: nothing says what a column or a table means.
    """
    tables = sql_tables()
    assets = [each for each in tables[ASSETS].columns.values() if each.name not in METADATA]
    return TEMPLATE.format(
        assets=_columns(tables[ASSETS], assets, MediaAsset),
        runs=_columns(tables[RUNS], tables[RUNS].columns.values(), EnrichRun),
        audit=_columns(tables[AUDIT], tables[AUDIT].columns.values()),
        repairs=_columns(tables[REPAIRS], tables[REPAIRS].columns.values()),
        others=table(
            ("table", "what it holds"),
            (
                (code(name), _known(name, each.meaning))
                for name, each in tables.items()
                if name not in {ASSETS, RUNS, AUDIT, REPAIRS}
            ),
        ),
    )


def _columns(
    owner: Table, columns: Iterable[Column], record: type[msgspec.Struct] | None = None
) -> str:
    """The columns of a table; what the database does not say of one, the record does."""
    documented = attribute_docs(record) if record else {}
    return table(
        ("column", "type", "what it says"),
        (
            (
                code(each.name),
                each.type,
                _known(f"{owner.name}.{each.name}", each.meaning or documented.get(each.name, ""))
                + _choices(each),
            )
            for each in columns
        ),
    )


def _choices(column: Column) -> str:
    return f" One of {', '.join(map(code, column.choices))}." if column.choices else ""


def _known(name: str, meaning: str) -> str:
    if not meaning:
        raise LookupError(f"nothing says what {name} means: write a comment in sql/schemas/")
    return meaning
