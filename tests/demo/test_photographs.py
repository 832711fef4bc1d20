from __future__ import annotations

from pathlib import Path

import pytest
from PIL import ExifTags, Image, UnidentifiedImageError

from media_enricher.demo.photographs import demo_photographs, objects_of
from media_enricher.models import AssetStatus, Kind
from tests.corpora import CACHE
from tests.probe.samples import full


@pytest.fixture(scope="module")
def photographs(needs_images: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return demo_photographs(tmp_path_factory.mktemp("demo") / "photographs", cache=CACHE)


def test_there_are_real_photographs_in_every_format(photographs: dict[str, Path]) -> None:
    formats, megapixels = set(), 0.0
    for name, path in photographs.items():
        if not name.startswith(("broken/", "recordings/")):
            with Image.open(path) as image:
                formats.add(image.format)
                megapixels = max(megapixels, image.width * image.height / 1e6)
    assert formats == {"JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF"}
    assert megapixels > 20


def test_what_is_made_of_them_is_of_every_other_kind(photographs: dict[str, Path]) -> None:
    kinds = {}
    for name, path in photographs.items():
        if name.startswith("recordings/"):
            found = full(path.read_bytes(), name)
            assert (found.status, found.warnings) == (AssetStatus.ENRICHED, None)
            assert found.blurhash
            kinds[found.format] = found.kind
    assert kinds == {
        "heic": Kind.IMAGE,
        "mp4": Kind.VIDEO,
        "mp3": Kind.AUDIO,
        "pdf": Kind.DOCUMENT,
    }


def test_each_orientation_is_there(photographs: dict[str, Path]) -> None:
    for orientation in range(1, 9):
        with Image.open(photographs[f"orientations/orientation-{orientation}.jpg"]) as image:
            exif = image.getexif()
            assert exif[ExifTags.Base.Orientation] == orientation
            assert exif[ExifTags.Base.Model] == "Canon EOS 5D Mark III"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("upload-cut-off.jpg", OSError),
        ("bit-rot.png", (OSError, SyntaxError)),
        ("empty.jpg", UnidentifiedImageError),
        ("error-page.jpg", UnidentifiedImageError),
    ],
)
def test_the_broken_files_are_broken(
    photographs: dict[str, Path], name: str, error: type[Exception]
) -> None:
    with pytest.raises(error), Image.open(photographs[f"broken/{name}"]) as image:
        image.load()


def test_an_interrupted_making_is_made_again(needs_images: None, tmp_path: Path) -> None:
    (tmp_path / "photographs.unfinished" / "interiors").mkdir(parents=True)
    assert len(demo_photographs(tmp_path / "photographs", cache=CACHE)) > 60


def test_names_that_storage_refuses_are_mended_and_stay_apart(tmp_path: Path) -> None:
    for name in ("été.jpg", "ete #1.jpg", "ete #1_.jpg", "ete ~1.jpg", ".DS_Store", "a/b c.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    contents = {name: path.read_text() for name, path in objects_of(tmp_path).items()}
    assert contents == {
        "_t_.jpg": "été.jpg",
        "a/b c.png": "a/b c.png",
        "ete _1.jpg": "ete #1.jpg",
        "ete _1_.jpg": "ete #1_.jpg",
        "ete _1-2.jpg": "ete ~1.jpg",
    }
