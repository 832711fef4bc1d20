"""Each native decoder in the sandbox of the real engine: it opens no file and starts no thread."""

from __future__ import annotations

import pytest

from media_enricher.engine import EnrichPool
from media_enricher.models import AssetStatus, Depth
from tests.engine.conftest import Put
from tests.probe.recordings import recording

pytestmark = pytest.mark.usefixtures("needs_processes")

FILES = {
    "h264.mp4": lambda: recording("mp4", "libx264", "aac", size=(1280, 720)),
    "hevc.mkv": lambda: recording("matroska", "libx265", size=(640, 360)),
    "vp9.webm": lambda: recording("webm", "libvpx-vp9", size=(640, 360)),
    "av1.mp4": lambda: recording("mp4", "libsvtav1", size=(640, 360)),
    "mpeg4.avi": lambda: recording("avi", "mpeg4"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_each_kind_is_shown(name: str, shared_pool: EnrichPool, put: Put) -> None:
    (outcome,) = shared_pool.enrich([put(name, FILES[name]())], Depth.FULL)
    assert outcome is not None
    asset = outcome.asset
    assert (asset.status, asset.error_message) == (AssetStatus.ENRICHED, None)
    assert asset.blurhash, asset.warnings
