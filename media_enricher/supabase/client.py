"""The one place where a Supabase client is created."""

from __future__ import annotations

import httpx
from supabase import Client, ClientOptions, create_client

from media_enricher.settings import SupabaseSettings, settings
from media_enricher.supabase.retrying import raise_for_error

_CONNECT_SECONDS = 10.0
_CONNECTIONS = 16
_IDLE_SECONDS = 30.0
"""To set a connection up takes three round trips, so none is closed between two writes."""


def connect(supabase: SupabaseSettings, *, answer_seconds: float | None = None) -> Client:
    """A client with the service key, for use by many threads, with timeouts.

    Both kinds of key work: a secret one (`sb_secret_…`) and the legacy service_role JWT. Its
    requests raise `SupabaseError`, and are retried by `retrying.call` alone.

    Args:
        supabase: the project and its key.
        answer_seconds: how long to wait for data in one attempt; default: the setting
            MEDIA_ENRICHER_REQUEST_TIMEOUT_SECONDS.
    """
    silence = answer_seconds or settings().request_timeout_seconds
    http = httpx.Client(
        timeout=httpx.Timeout(silence, connect=min(silence, _CONNECT_SECONDS)),
        # HTTP/1.1: one connection a thread. Over HTTP/2 all threads would share one.
        limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_IDLE_SECONDS),
        follow_redirects=True,
        event_hooks={"response": [raise_for_error]},
    )
    return create_client(
        supabase.url,
        supabase.service_key.get_secret_value(),
        ClientOptions(
            httpx_client=http,
            postgrest_client_retry=False,
            auto_refresh_token=False,
            persist_session=False,
        ),
    )
