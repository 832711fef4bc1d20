"""The main job on more than a thousand real files: photographs, all formats, hostile ones."""

from __future__ import annotations

import mimetypes
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageOps

from media_enricher.orchestration import resources
from media_enricher.snapshot.reader import open_snapshot
from tests.corpora import mixed_corpus
from tests.flows.conftest import FilledBucket
from tests.flows.test_backfill import run
from tests.oracles.exiftool import exiftool

pillow_heif.register_heif_opener()

COUNT = 1_200
QUARTER_TURNS = {5, 6, 7, 8}
SAME_TYPES = {
    "image/apng": "image/png",
    "image/x-tiff-big": "image/tiff",
    "application/vnd.adobe.photoshop": "image/vnd.adobe.photoshop",
}


@pytest.fixture(scope="module")
def corpus() -> dict[str, Path]:
    return mixed_corpus(COUNT)


def test_more_than_a_thousand_mixed_real_files(
    bucket: FilledBucket, corpus: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_FAILURE_THRESHOLD", "0.5")  # many are broken on purpose
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: put(bucket, *item), corpus.items()))
    state = run(bucket)
    assert state.is_completed(), state.message

    rows = bucket.rows()
    assert rows.keys() == corpus.keys()
    by_status = Counter(row["status"] for row in rows.values())
    record = bucket.latest_run()
    assert record["processed_files"] == record["total_files"] == COUNT
    assert record["succeeded"] == by_status["enriched"]
    assert record["failed"] == by_status["failed"]
    assert record["skipped"] == by_status["unsupported"]
    snapshot = open_snapshot(record["snapshot_path"], resources.bucket).frame()
    assert sorted(snapshot["path"]) == sorted(rows)
    assert snapshot["status"].value_counts().to_dict() == dict(by_status)
    assert by_status["enriched"] > 0.8 * COUNT

    refused = [path for path, row in rows.items() if row["status"] != "enriched"]
    assert not [path for path in refused if the_reference_decoder_reads(corpus[path])]

    said = exiftool(corpus.values(), "MIMEType", "ImageWidth", "ImageHeight", "IFD0:Orientation")
    disagreements = [
        f"{path[-40:]} ({corpus[path].name}): {ours}, but exiftool says {theirs}"
        for path, row in rows.items()
        if row["status"] == "enriched"
        for ours, theirs in [(as_we_say(row), as_exiftool_says(said[corpus[path]]))]
        if ours != theirs and ours != as_the_reference_decoder_says(corpus[path], row)
    ]
    assert not disagreements, "\n".join(disagreements)


def put(bucket: FilledBucket, path: str, file: Path) -> None:
    guessed, _ = mimetypes.guess_type(file.name)
    bucket.put(path, file.read_bytes(), guessed or "application/octet-stream")


def as_we_say(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["content_type"], row["width"], row["height"], row["orientation"] or 1


def as_exiftool_says(tags: dict[str, Any]) -> tuple[Any, ...]:
    """Type, size as displayed and orientation, its types put into our words."""
    said_type = str(tags.get("MIMEType"))
    orientation = tags.get("Orientation") or 1  # 0 is none, in one broken file
    size = [tags.get("ImageWidth"), tags.get("ImageHeight")]
    if orientation in QUARTER_TURNS:
        size.reverse()
    return SAME_TYPES.get(said_type, said_type), *size, orientation


def as_the_reference_decoder_says(file: Path, row: dict[str, Any]) -> tuple[Any, ...]:
    """What Pillow makes of a format that exiftool does not know, or reads another way.

    Those are TGA (it knows none), icons of several sizes (it takes the first, not the largest), an
    old BMP header, and AVIF turned by a transformation. SVG has no reference decoder.
    """
    if row["format"] == "svg":
        return row["content_type"], row["width"], row["height"], 1
    if row["kind"] != "image":
        return ()
    with Image.open(file) as image:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return image.get_format_mimetype(), *ImageOps.exif_transpose(image).size, orientation


def the_reference_decoder_reads(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.load()
    except Exception:  # noqa: BLE001 - whatever a decoder thinks of broken files
        return False
    return True
