"""Whatever the bytes, the probe answers, and its answer is JSON."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from media_enricher.models import AssetStatus, ErrorCode, Findings
from tests.probe.samples import full, header, photograph, saved
from tests.probe.test_metadata import CAMERA, PACKET

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

STARTS = [
    b"\xff\xd8\xff",
    b"\xff\xd8\xff\xc2\x00\x11\x08",
    b"\x89PNG\r\n\x1a\n",
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR",
    b"GIF89a",
    b"RIFF\xff\x00\x00\x00WEBPVP8X",
    b"RIFF\xff\x00\x00\x00WEBPVP8L",
    b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00avifmif1",
    b"\x00\x00\x00\x18ftypavis\x00\x00\x00\x00avis\x00\x00\x00\x40meta\x00\x00\x00\x00",
    b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
    b"II*\x00\x08\x00\x00\x00",
    b"MM\x00*\x00\x00\x00\x08",
    b"II+\x00\x08\x00\x00\x00",
    b"BM\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x28\x00\x00\x00",
    b"\x00\x00\x01\x00\x01\x00",
    b"icns\x00\x00\x00\x64",
    b"8BPS\x00\x01",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    b"P6\n",
    b"qoif",
    b"DDS |\x00\x00\x00",
    b"<svg ",
    b"<?xml",
    b"<!DOCTYPE",
    b"",
]
PATHS = st.sampled_from(
    ["a.jpg", "a.tga", "a.svgz", "a.NEF", "no extension", "a/b.c/d", "\ud800.png"]
)
DECLARED = st.sampled_from([None, "", "image/jpeg", "IMAGE/PNG; charset=x", "text/html", "rubbish"])
CALM = settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def probed(data: bytes, path: str = "a", declared: str | None = None) -> Findings:
    """Both depths, with the promises that hold for every input."""
    found = full(data, path, declared)
    shallow, _ = header(data, path, declared)
    for findings in (found, shallow):
        assert findings.error_code is not ErrorCode.PROBE_CRASHED, findings.error_message
        assert (findings.error_code is None) == (findings.status is AssetStatus.ENRICHED)
        assert (findings.error_message is None) == (findings.error_code is None)
        text = msgspec.json.encode(findings)
        assert b"\\u0000" not in text
        for number in (findings.width, findings.height, findings.frame_count, findings.bit_depth):
            assert number is None or 0 <= number < 2**32
    return found


@CALM
@given(st.sampled_from(STARTS), st.binary(max_size=300), PATHS, DECLARED)
def test_arbitrary_bytes(start: bytes, rest: bytes, path: str, declared: str | None) -> None:
    probed(start + rest, path, declared)


def icon(**pictures: Image.Image) -> bytes:
    """An ICNS file with pictures of these types; Pillow would write all sizes, up to 1024."""
    blocks = [(kind.encode(), saved(picture, "png")) for kind, picture in pictures.items()]
    body = b"".join(kind + (8 + len(png)).to_bytes(4, "big") + png for kind, png in blocks)
    return b"icns" + (8 + len(body)).to_bytes(4, "big") + body


def _files() -> dict[str, bytes]:
    small = photograph(60, 40)
    xmp, exif = PACKET.encode(), CAMERA.tobytes()
    two: dict[str, Any] = {"save_all": True, "append_images": [photograph(60, 40, seed=8)]}
    return {
        "jpeg": saved(small, "jpeg", exif=exif, xmp=xmp),
        "progressive": saved(photograph(900, 700), "jpeg", quality=5, progressive=True),
        "png": saved(small.quantize(16), "png", exif=exif, transparency=3),
        "apng": saved(small.quantize(8), "png", **two),
        "webp": saved(small, "webp", exif=exif, xmp=xmp),
        "animated webp": saved(small, "webp", **two),
        "gif": saved(small.quantize(16), "gif", **two),
        "avif": saved(small, "avif", exif=exif, xmp=xmp),
        "animated avif": saved(small, "avif", **two),
        "tiff": saved(small.quantize(16), "tiff", exif=exif),
        "packed tiff": saved(small, "tiff", compression="tiff_lzw"),
        "bmp": saved(small.quantize(16), "bmp"),
        "ico": saved(photograph(48, 48), "ico"),
        "icns": icon(icp4=photograph(16, 16), ic11=photograph(32, 32)),
        "jpeg2000": saved(small, "jpeg2000"),
        "qoi": saved(small, "qoi"),
        "ppm": saved(small, "ppm"),
        "dds": saved(small, "dds"),
        "tga": saved(small, "tga"),
        "svg": b'<svg viewBox="0 0 20 10" width="40"><path d="M0 0"/></svg>',
    }


FILES = _files()


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60)
@given(data=st.data())
def test_real_files_with_changed_bytes(name: str, data: st.DataObject) -> None:
    file = bytearray(FILES[name])
    # Headers decide what is read, so most changes go there.
    places = st.one_of(st.integers(0, min(len(file), 200) - 1), st.integers(0, len(file) - 1))
    for at, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        file[at] = value
    probed(bytes(file), f"a.{name}")


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40)
@given(data=st.data())
def test_real_files_cut_anywhere(name: str, data: st.DataObject) -> None:
    file = FILES[name]
    probed(file[: data.draw(st.integers(0, len(file)))], f"a.{name}")


@pytest.mark.parametrize("name", FILES)
def test_real_files_with_pieces_repeated_or_left_out(name: str) -> None:
    file = FILES[name]
    for at in range(0, min(len(file), 600), 37):
        probed(file[:at] + file[at + 11 :], f"a.{name}")
        probed(file[: at + 50] + file[at:], f"a.{name}")


def test_two_threads_find_what_one_finds() -> None:
    files = [data for data in FILES.values() for _ in range(4)]
    alone = [full(data) for data in files]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(full, files)) == alone


def test_a_mistake_of_ours_costs_one_row_that_tells_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("media_enricher.probe.image.describe", stumble)
    found = full(saved(Image.new("RGB", (9, 9)), "png"), "secret name.png")
    assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.PROBE_CRASHED)
    assert "ZeroDivisionError" in (found.error_message or "")
    assert "crashed" in caplog.text
