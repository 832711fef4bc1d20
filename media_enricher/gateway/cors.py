"""Which pages may call the gateway, and how.

The Edge Function answers preflights by the same rules, for the gateway is not asked:
`deployments/supabase/functions/media-enricher/cors.ts`.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

METHODS = ("GET", "POST")
HEADERS = (
    *("authorization", "apikey", "content-type", "idempotency-key"),
    *("x-client-info", "x-supabase-api-version", "x-region"),
)
EXPOSED_HEADERS = ("Retry-After",)


def cors(origins: tuple[str, ...]) -> Middleware:
    """The middleware that answers preflights, and lets pages of these origins read answers."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )
