"""Decoders of other packages work within the limits of a decoder process: no file, no process."""

from __future__ import annotations

import pytest

from media_enricher.models import AssetStatus, Depth
from media_enricher.probe.image import tiny
from tests.engine.conftest import MakePool, Put
from tests.probe.samples import photograph, saved

pytestmark = pytest.mark.usefixtures("needs_processes")


def test_every_format_is_decoded_in_the_sandbox(make_pool: MakePool, put: Put) -> None:
    files = {
        "a.heic": tiny.HEIC,
        "a.jxl": tiny.JXL,
        "large.jxl": saved(photograph(1600, 1200), "JXL"),
        "a.psd": tiny.PSD,
        "a.cur": tiny.CURSOR,
        "a.pcx": saved(photograph(64, 48), "pcx"),
        "b.heic": tiny.HEIC,
    }
    outcomes = make_pool(workers=1).enrich([put(*each) for each in files.items()], Depth.FULL)
    found = {name: each.asset for name, each in zip(files, outcomes, strict=True)}
    wrong = {
        name: asset.error_message
        for name, asset in found.items()
        if asset.status is not AssetStatus.ENRICHED or asset.palette is None
    }
    assert wrong == {}
