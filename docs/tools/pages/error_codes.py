"""docs/reference/error-codes.md: from `ErrorCode` and `ApiErrorCode`."""

from __future__ import annotations

from docs.tools.attribute_docs import attribute_docs
from docs.tools.tables import code, table
from media_enricher.gateway.error_codes import ApiErrorCode
from media_enricher.models import ErrorCode

TEMPLATE = """\
# Error codes

## Objects

A row of `media_assets` whose `status` is `failed` or `unsupported` says why in `error_code`:

{objects}

Mode `failed` tries them all again.

## The HTTP API

An answer of the [HTTP API](http-api.md) that is an error says in `code` what was wrong:

{api}
"""


def page() -> str:
    """The text of the page."""
    meanings = attribute_docs(ErrorCode)
    advice = attribute_docs(ApiErrorCode)
    return TEMPLATE.format(
        objects=table(
            ("`error_code`", "what it means", "tried again"),
            ((code(each.value), meanings[each.name], _tried_again(each)) for each in ErrorCode),
        ),
        api=table(
            ("status", "`code`", "what it means, and what to do"),
            ((str(each.status), code(each.value), advice[each.name]) for each in ApiErrorCode),
        ),
    )


def _tried_again(error: ErrorCode) -> str:
    return "by the next runs" if error.is_transient else "when the object changes"
