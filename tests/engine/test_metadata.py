"""Metadata of every container and encoding, read by a decoder that may open nothing."""

from __future__ import annotations

import pytest

from media_enricher.models import Depth
from tests.engine.conftest import MakePool, Put
from tests.probe.carriers import exif_in_jpeg, tiff, xmp_in_jpeg
from tests.probe.test_carriers import TABLE, XMP, differences

pytestmark = pytest.mark.usefixtures("needs_processes")


def test_what_metadata_need_is_loaded_before_the_decoder_is_closed_in(
    make_pool: MakePool, put: Put
) -> None:
    files = [(carry(block), right) for _, carry, block, right in TABLE]
    files += [
        (xmp_in_jpeg(XMP.decode().encode(encoding)), {"title": "A title"})
        for encoding in ("utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le")
    ]
    comment = b"JIS\0\0\0\0\0\x1b$B<L??\x1b(B"
    files.append((exif_in_jpeg(tiff(camera={0x9286: (7, comment)})), {"has_location": False}))
    objects = [put(str(number), data) for number, (data, _) in enumerate(files)]
    outcomes = make_pool(workers=1).enrich(objects, Depth.FULL)
    hidden = {"latitude", "longitude"}
    for outcome, (_, right) in zip(outcomes, files, strict=True):
        shown = {name: value for name, value in right.items() if name not in hidden}
        assert differences(outcome.asset, shown) == {}
