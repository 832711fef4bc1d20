"""All the files that imaging libraries test themselves with, hostile ones included.

Skipped, loudly, where the packages can't be downloaded.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from media_enricher.demo.packages import PackagesError, images_of
from media_enricher.models import AssetStatus, ErrorCode, Findings
from tests.corpora import CACHE, PACKAGES
from tests.oracles.exiftool import PROGRAM, exiftool
from tests.probe.samples import full, header

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

# exiftool gives the first picture of an icon, we the largest; it misreads an OS/2 bitmap, and
# leaves out HEIF's cut-outs (`clap`), which libheif and viewers apply.
DIFFERENT_SIZE = {
    *("python.ico", "github.ico", "hopper_unexpected.ico", "pal8os2v2.bmp", "outdoor.heic"),
}
SAME_TYPE = {
    "image/apng": "image/png",
    "application/vnd.adobe.photoshop": "image/vnd.adobe.photoshop",
    "image/x-tiff-big": "image/tiff",
}


@pytest.fixture(scope="module")
def files(needs_images: None) -> list[Path]:
    try:
        return images_of(*PACKAGES, cache=CACHE)
    except PackagesError as error:
        pytest.skip(f"THE CORPUS IS NOT TESTED: {error}")


@pytest.fixture(scope="module")
def findings(files: list[Path]) -> dict[Path, Findings]:
    return {path: full(path.read_bytes(), path.name) for path in files}


def test_nothing_crashes_and_most_is_enriched(findings: dict[Path, Findings]) -> None:
    crashed = [
        path for path, found in findings.items() if found.error_code is ErrorCode.PROBE_CRASHED
    ]
    assert crashed == []
    statuses = Counter(found.status for found in findings.values())
    assert statuses[AssetStatus.ENRICHED] > 0.94 * len(findings)


def test_header_depth_agrees_with_full_depth(findings: dict[Path, Findings]) -> None:
    for path, found in findings.items():
        shallow, _ = header(path.read_bytes(), path.name)
        assert shallow.error_code is not ErrorCode.PROBE_CRASHED
        assert shallow.content_type == found.content_type, path
        if found.status is AssetStatus.ENRICHED:
            assert (shallow.width, shallow.height) == (found.width, found.height), path


def test_type_size_and_orientation_agree_with_exiftool(findings: dict[Path, Findings]) -> None:
    if not PROGRAM.exists():
        pytest.skip(f"NOTHING IS COMPARED: {PROGRAM} is not there; run `make setup`")
    judged = exiftool(findings, "ImageWidth", "ImageHeight", "Orientation", "MIMEType")
    compared = 0
    for path, found in findings.items():
        tags = judged.get(path, {})
        content_type = str(tags.get("MIMEType"))
        if found.status is not AssetStatus.ENRICHED or found.format in {"tga", "svg"}:
            continue  # exiftool does not know TGA, and gives an SVG's size with its units
        assert SAME_TYPE.get(content_type, content_type) == found.content_type, path
        size = tags.get("ImageWidth"), tags.get("ImageHeight")
        if (found.orientation or 1) > 4:
            size = size[1], size[0]
        assert size == (found.width, found.height) or path.name in DIFFERENT_SIZE, path
        # AVIF is turned by its container, PNG by eXIf and not by XMP, as browsers do.
        if found.format not in {"avif", "png"}:
            assert (tags.get("Orientation") or 1) == (found.orientation or 1), path
        compared += 1
    assert compared > 1_000
