"""Smaller pictures: asked of Storage's image transformation once, and used where it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from supabase import Client, ClientOptions, create_client

from media_enricher.gateway.renditions import LARGEST_BYTES, SIDE_PIXELS, Renditions
from media_enricher.orchestration.supabase_threads import SupabaseThreads
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.retrying import raise_for_error

BASE = "http://storage.test"
Handler = Callable[[httpx.Request], httpx.Response]


class Storage:
    """A project's Storage, as far as pictures are signed and made smaller."""

    def __init__(self, *, signs: str = "render/image/sign", render: Handler | None = None) -> None:
        self.signs = signs
        self.render = render or (
            lambda _: httpx.Response(200, headers={"content-type": "image/webp"}, content=b"small")
        )
        self.requests: list[httpx.Request] = []
        self.missing: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.method == "GET":
            return self.render(request)
        path = unquote(request.url.raw_path.decode()).removeprefix("/storage/v1/object/sign/")
        if path in self.missing:
            return httpx.Response(400, json={"statusCode": "404", "code": "NoSuchKey"})
        return httpx.Response(200, json={"signedURL": f"/{self.signs}/{path}?token=abc"})

    def client(self) -> Client:
        http = httpx.Client(
            transport=httpx.MockTransport(self), event_hooks={"response": [raise_for_error]}
        )
        return create_client(BASE, "key", ClientOptions(httpx_client=http))

    @property
    def renders(self) -> list[str]:
        return [request.url.path for request in self.requests if request.method == "GET"]


def renditions(storage: Storage, *, is_wanted: bool = True) -> Renditions:
    client = storage.client()
    in_thread = SupabaseThreads(patience_seconds=0)
    return Renditions(lambda name: Bucket(client, name), in_thread, seconds=60, is_wanted=is_wanted)


def picture(path: str, **columns: Any) -> dict[str, Any]:
    row = {"path": path, "kind": "image", "width": 4000, "height": 3000, "size_bytes": 5_000_000}
    return row | columns


def refuse(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(403, json={"statusCode": "403", "error": "FeatureNotEnabled"})


def test_pictures_are_signed_with_their_size_and_tried_once() -> None:
    storage = Storage()
    made = renditions(storage)
    rows = [picture("a b+c?.jpg"), picture("folder/d.jpg")]

    first = asyncio.run(made.urls("my photos", rows))
    again = asyncio.run(made.urls("my photos", rows))

    assert first == again
    assert first == {
        "a b+c?.jpg": f"{BASE}/storage/v1/render/image/sign/my%20photos/a%20b%2Bc%3F.jpg?token=abc",
        "folder/d.jpg": f"{BASE}/storage/v1/render/image/sign/my%20photos/folder/d.jpg?token=abc",
    }
    assert len(storage.renders) == 1
    assert json.loads(storage.requests[0].content)["transform"] == {
        "width": SIDE_PIXELS,
        "height": SIDE_PIXELS,
        "resize": "contain",
    }


def test_a_project_that_signs_the_original_is_asked_once() -> None:
    storage = Storage(signs="object/sign")
    made = renditions(storage)

    assert asyncio.run(made.urls("photos", [picture("a.jpg"), picture("b.jpg")])) == {}
    assert asyncio.run(made.urls("photos", [picture("c.jpg")])) == {}
    assert len(storage.requests) == 1


def test_a_project_that_refuses_three_pictures_is_asked_no_more() -> None:
    storage = Storage(render=refuse)
    made = renditions(storage)

    assert asyncio.run(made.urls("photos", [picture("a.jpg")])) == {}
    assert asyncio.run(made.urls("photos", [picture("b.jpg"), picture("c.jpg")])) == {}
    assert len(storage.renders) == 3
    assert asyncio.run(made.urls("photos", [picture("d.jpg")])) == {}
    assert len(storage.renders) == 3


def test_one_broken_picture_does_not_speak_for_the_project() -> None:
    storage = Storage()
    whole = storage.render
    storage.render = lambda request: (
        httpx.Response(422, json={"error": "ImageProcessingError"})
        if request.url.path.endswith("broken.jpg")
        else whole(request)
    )
    found = asyncio.run(
        renditions(storage).urls("photos", [picture("broken.jpg"), picture("good.jpg")])
    )
    assert "good.jpg" in found


def test_an_outage_decides_nothing() -> None:
    storage = Storage()
    whole, storage.render = storage.render, lambda _: httpx.Response(503)
    made = renditions(storage)
    with pytest.raises(SupabaseError):
        asyncio.run(made.urls("photos", [picture("a.jpg")]))

    storage.render = whole
    assert asyncio.run(made.urls("photos", [picture("a.jpg")]))


def test_what_is_gone_has_none() -> None:
    storage = Storage()
    storage.missing = {"photos/gone.jpg"}
    found = asyncio.run(renditions(storage).urls("photos", [picture("a.jpg"), picture("gone.jpg")]))
    assert list(found) == ["a.jpg"]


@pytest.mark.parametrize(
    "columns",
    [
        {"kind": "video"},
        {"width": None},
        {"height": None},
        {"size_bytes": None},
        {"size_bytes": LARGEST_BYTES + 1},
        {"width": 50_001, "height": 1_000},
    ],
)
def test_what_storage_can_not_make_smaller_is_not_asked_for(columns: dict[str, Any]) -> None:
    storage = Storage()
    assert asyncio.run(renditions(storage).urls("photos", [picture("a", **columns)])) == {}
    assert storage.requests == []


def test_switched_off_it_asks_nothing() -> None:
    storage = Storage()
    made = renditions(storage, is_wanted=False)
    assert asyncio.run(made.urls("photos", [picture("a.jpg")])) == {}
    assert storage.requests == []
