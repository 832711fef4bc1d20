"""docs/reference/metadata-fields.md: from the records that a probe fills."""

from __future__ import annotations

from docs.tools.attribute_docs import attribute_docs
from docs.tools.sql_tables import sql_tables
from docs.tools.tables import code, table
from media_enricher.models import Findings

TEMPLATE = """\
# Metadata fields

Columns of [`media_assets`](tables.md) that say what an object is. A [snapshot](../guides/snapshots.md) has them under the same names, and `media-enricher probe FILE` prints them for a local file. A field that the object does not have is null.

{fields}

Placeholders, colours and hashes need the depth `full`: they are taken from the pixels or from all bytes. `exif` holds the tags that `MEDIA_ENRICHER_EXIF_TAGS` allows. Locations are stored only where `MEDIA_ENRICHER_LOCATION` is set.
"""  # noqa: E501

# How enriching ended is no metadata: docs/reference/tables.md has these.
_OUTCOME = ("status", "error_code", "error_message")
METADATA = (
    "declared_content_type",
    *(name for name in Findings.__struct_fields__ if name not in _OUTCOME),
)
"""The columns that say what an object is."""


def page() -> str:
    """The text of the page.

    Raises:
        LookupError: nothing says what a field means.
    """
    documented = attribute_docs(Findings)
    columns = sql_tables()["public.media_assets"].columns
    rows = []
    for name in METADATA:
        meaning = documented.get(name) or columns[name].meaning
        if not meaning:
            raise LookupError(f"nothing says what {name} means: write a docstring in models.py")
        rows.append((code(name), columns[name].type, meaning))
    return TEMPLATE.format(fields=table(("field", "type", "what it says"), rows))
