from __future__ import annotations

from pathlib import Path

import pytest

from media_enricher.demo import packages
from media_enricher.demo.packages import PackagesError, images_of
from tests.corpora import CACHE

pytestmark = pytest.mark.usefixtures("needs_images")


def test_images_are_fetched_once_and_nothing_else_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = images_of("piexif", cache=tmp_path)
    assert {path.suffix for path in first} <= packages.IMAGE_SUFFIXES
    assert sum(path.suffix == ".jpg" for path in first) > 10
    monkeypatch.setattr(packages, "_download", None)
    assert images_of("piexif", cache=tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == ["piexif-1.1.3"]


def test_an_archive_other_than_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        packages, "_pinned", lambda: {"piexif": f"piexif==1.1.3 --hash=sha256:{'0' * 64}"}
    )
    with pytest.raises(PackagesError, match=r"piexif==1\.1\.3(?s:.*)tampered"):
        images_of("piexif", cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_photographs_are_large_and_keep_what_the_camera_wrote() -> None:
    from PIL import ExifTags, Image

    by_name = {path.name: path for path in images_of("thumbor", cache=CACHE)}
    with Image.open(by_name["10_years_of_Wikipedia_by_Guillaume_Paumier.jpg"]) as photograph:
        assert photograph.size == (3456, 4052)
        exif = photograph.getexif()
    assert exif[ExifTags.Base.Orientation] == 8
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)
