"""`/local/v1`: stop PostgREST for a while, so that tests see what happens without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from supabase_local.keys import StackKeys
from supabase_local.postgrest import PostgREST


class Control:
    """Owns the PostgREST process. An ASGI app for the holder of the service key.

    `POST /postgrest/stop` and `POST /postgrest/start` answer once it is done.
    """

    def __init__(self, start_postgrest: Callable[[], PostgREST], keys: StackKeys) -> None:
        self._start = start_postgrest
        self._authorization = f"Bearer {keys.service_role_jwt}"
        self._postgrest: PostgREST | None = start_postgrest()

    def postgrest_url(self) -> str | None:
        """Where PostgREST is now; None while it is stopped."""
        return self._postgrest.url if self._postgrest else None

    @property
    def postgrest_has_ended(self) -> bool:
        """Whether PostgREST ended although nobody stopped it."""
        return self._postgrest is not None and self._postgrest.has_ended

    def stop_postgrest(self) -> None:
        """End PostgREST, if it runs."""
        if self._postgrest is not None:
            self._postgrest.stop()
            self._postgrest = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        command = (request.method, request.scope["path"])
        if request.headers.get("authorization") != self._authorization:
            answer = JSONResponse({"message": "needs the service key"}, status_code=401)
        elif command == ("POST", "/postgrest/stop"):
            self.stop_postgrest()
            answer = JSONResponse({"running": False})
        elif command == ("POST", "/postgrest/start"):
            # Blocks everyone for a moment: the child must be started by this very thread.
            self._postgrest = self._postgrest or self._start()
            answer = JSONResponse({"running": True})
        else:
            answer = JSONResponse({"message": "no such command"}, status_code=404)
        await answer(scope, receive, send)
