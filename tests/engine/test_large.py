"""Films of gigabytes over HTTP: few bytes are read, wherever their header lies."""

from __future__ import annotations

import pytest
from aiohttp import web

from media_enricher.models import AssetStatus, Depth, StorageObject
from tests.engine.conftest import MakePool
from tests.engine.faulty_storage import Answer, FaultyStorage
from tests.probe.recordings import LargeFilm

pytestmark = pytest.mark.usefixtures("needs_processes")

GIB = 2**30
ETAG = '"of-the-film"'


def ranges_of(film: LargeFilm) -> Answer:
    """A server that has the film, and gives no more than a range of it."""

    async def answer(request: web.Request, _: bytes) -> web.StreamResponse:
        wanted = request.http_range
        assert wanted.start is not None, "all of it was asked for"
        assert wanted.stop is not None
        body = film.read(wanted.start, wanted.stop)
        end = wanted.start + len(body) - 1
        headers = {"ETag": ETAG, "Content-Range": f"bytes {wanted.start}-{end}/{film.size}"}
        return web.Response(status=206, body=body, headers=headers, content_type="video/mp4")

    return answer


@pytest.mark.parametrize("is_moov_first", [True, False])
@pytest.mark.parametrize(
    ("depth", "size", "most"), [(Depth.HEADER, GIB, 1_000_000), (Depth.FULL, 5 * GIB, 16_000_000)]
)
def test_a_large_film_costs_a_few_ranges(
    depth: Depth,
    size: int,
    most: int,
    is_moov_first: bool,
    make_pool: MakePool,
    storage: FaultyStorage,
) -> None:
    film = LargeFilm(size, is_moov_first=is_moov_first)
    storage.objects["b/film.mp4"] = b"served by ranges"
    storage.usual = ranges_of(film)
    listed = StorageObject(bucket="b", path="film.mp4", etag=ETAG, size_bytes=film.size)
    (outcome,) = make_pool().enrich([listed], depth)
    assert outcome is not None
    asset = outcome.asset
    assert (asset.status, asset.error_message) == (AssetStatus.ENRICHED, None)
    assert (asset.duration_seconds, asset.size_bytes) == (2.0, film.size)
    assert outcome.bytes_read <= most
    assert bool(asset.blurhash) == (depth is Depth.FULL)
