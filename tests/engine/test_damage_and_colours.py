"""Little CMS and simplejpeg in the sandbox, which opens no file and starts no thread."""

from __future__ import annotations

import pytest
from PIL import Image

from media_enricher.models import AssetStatus, Depth
from tests.engine.conftest import MakePool, Put
from tests.probe.samples import photograph, saved
from tests.probe.test_srgb import (
    ADOBE_RGB,
    GREY,
    converted,
    ink_profile,
    matrix_profile,
    pixel,
)

pytestmark = pytest.mark.usefixtures("needs_processes")


def test_colours_and_damage_are_found_in_a_decoder(make_pool: MakePool, put: Put) -> None:
    sound = saved(photograph(1800, 1200), "jpeg", progressive=True)
    hurt = bytearray(saved(photograph(1800, 1200), "jpeg"))
    hurt[len(hurt) // 2 : len(hurt) // 2 + 1024] = bytes(1024)
    plain = Image.new("RGB", (64, 48), (179, 90, 60))
    objects = [
        put("sound.jpg", sound),
        put("hurt.jpg", bytes(hurt)),
        put("adobe.png", saved(plain, "png", icc_profile=matrix_profile(ADOBE_RGB, 2.2))),
        put("grey.jpg", saved(plain.convert("L"), "jpeg", icc_profile=GREY)),
        put("inks.jpg", saved(plain.convert("CMYK"), "jpeg", icc_profile=ink_profile())),
    ]
    outcomes = make_pool(workers=1).enrich(objects, Depth.FULL)
    assert {outcome.asset.status for outcome in outcomes} == {AssetStatus.ENRICHED}
    assert [outcome.asset.warnings for outcome in outcomes] == [None, ["damaged"], None, None, None]
    assert all(outcome.asset.blurhash for outcome in outcomes)
    adobe = pixel(converted(plain, matrix_profile(ADOBE_RGB, 2.2)))
    assert outcomes[2].asset.dominant_color == "#{:02x}{:02x}{:02x}".format(*adobe)
