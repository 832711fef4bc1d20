"""What a stranger's file may cost: its bytes, a few seconds, and 512 MB; never their square."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from media_enricher.models import ErrorCode
from tests.probe.samples import full, header

pytestmark = pytest.mark.usefixtures("needs_processes")

MIB = 1024 * 1024


def chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(width: int, height: int, colour_type: int, *extra: bytes, bits: int = 8) -> bytes:
    start = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"\0" * (min(height, 100) * (1 + width * 4)), 9)
    parts = [chunk(b"IHDR", start), *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def nested_xmp(n: int) -> bytes:
    levels = n // 100
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:d="http://purl.org/dc/elements/1.1/" '
        b'xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        + b"<r:Description><d:subject>" * levels
        + b"<r:li/>" * n
        + b"</d:subject></r:Description>" * levels
        + b"</x:xmpmeta>"
    )


def packed_xmp(n: int) -> bytes:
    packed = zlib.compress(nested_xmp(n), 9)
    return png(1, 1, 0, chunk(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + packed))


def many_packed_texts(n: int) -> bytes:
    content = b"Title\0\0" + zlib.compress(b"A" * 4 * MIB, 9)
    return png(1, 1, 0, *[chunk(b"zTXt", content)] * n)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


def full_box(name: bytes, content: bytes, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", flags) + content)


def avif_tables(n: int) -> bytes:
    owners = (struct.pack(">HB", 1, 250) + b"\1" * 250) * (n // 25)
    container = full_box(b"ispe", struct.pack(">II", 10, 10)) + box(b"pixi", b"\0\0\0\0\3\\8\\8\\8")
    properties = box(b"ipco", container) + full_box(b"ipma", struct.pack(">I", n // 25) + owners)
    tables = [
        full_box(b"pitm", struct.pack(">H", 1)),
        full_box(b"iref", box(b"auxl", struct.pack(">HHH", 2, 1, 1)) * n),
        box(b"iprp", properties),
    ]
    start = box(b"ftyp", b"avif\0\0\0\0avifmif1")
    return start + full_box(b"meta", b"".join(tables)) + box(b"mdat", b"\0" * 16)


def tiff(entries: list[tuple[int, int, int, int]], rest: bytes) -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + b"\0\0\0\0" + rest


def repeated_exif(n: int) -> bytes:
    start = 8 + 2 + 12 * 400 + 4
    return tiff([(271, 2, n * 100, start)] * 400, b"\1A" * (n * 50))


def huge_tile(_: int) -> bytes:
    tags = [(256, 1), (257, 1), (258, 8), (259, 8), (262, 1), (277, 1)]
    tags += [(322, 32_768), (323, 32_768), (324, 8), (325, 8)]
    return tiff([(tag, 4, 1, value) for tag, value in tags], b"\0" * 64)


GIF = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
SOF = b"\xff\xc0\0\x11\x08\0\x10\0\x10\3\1\x22\0\2\x11\1\3\x11\1"

WEBP = b"RIFF\xff\xff\xff\0WEBPVP8X\x0a\0\0\0" + b"\0" * 10


def gif_comment(n: int) -> bytes:
    return GIF + b"\x21\xfe" + b"\1A" * n + b"\0" + FRAME + b";"


def large_icon(_: int) -> bytes:
    inner = png(9_990, 9_990, 6)
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 1, 1, 0, 0, 1, 32, len(inner), 22) + inner


def jpeg_of(segment: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Segments of metadata, one after the other, before a picture's size."""

    def make(n: int) -> bytes:
        contents = (segment(number) for number in range(n))
        parts = (
            (b"\xff\xed" if content.startswith(b"Photoshop") else b"\xff\xe1")
            + struct.pack(">H", len(content) + 2)
            + content
            for content in contents
        )
        return b"\xff\xd8" + b"".join(parts) + SOF + b"\xff\xda"

    return make


XMP = b"http://ns.adobe.com/xap/1.0/\0" + nested_xmp(8_000)
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP = b"Photoshop 3.0\0"


def part_of_xmp(number: int) -> bytes:
    """A byte of a packet of its own, or of one that has as many parts."""
    of_its_own = struct.pack(">32sII", b"%032d" % number, 4 * MIB, 0)
    of_one = struct.pack(">32sII", b"A" * 32, 4 * MIB, number)
    return EXTENDED_XMP + (of_its_own if number % 2 else of_one) + b"<"


def false_pixels(n: int) -> bytes:
    """Chunks within a chunk of pixels, none of which leads to the end."""
    false_chunk = struct.pack(">I4s", 0, b"IDAT") + b"\0\0\0\0"
    start = png(1, 1, 0)[:33]
    return start + chunk(b"IDAT", bytes(MIB)) + chunk(b"IDAT", false_chunk * n)


CATALOGUE: dict[str, tuple[Callable[[int], bytes], int, str]] = {
    "nested XMP": (packed_xmp, 200_000, "a.png"),
    "packed texts": (many_packed_texts, 2_000, "a.png"),
    "AVIF tables": (avif_tables, 30_000, "a.avif"),
    "EXIF repeated": (repeated_exif, 10_000, "a.tif"),
    "a huge tile": (huge_tile, 1, "a.tif"),
    "an SVG length": (lambda n: b'<svg width="' + b"1" * n + b'x"></svg>', 65_000, "a.svg"),
    "blanks in an SVG length": (lambda n: b'<svg width="1' + b" " * n + b'x"/>', 65_000, "a.svg"),
    "an SVG name": (lambda n: gzip.compress(b"<svg " + b"a" * n + b"></svg>"), 65_000, "a.svgz"),
    "an SVG prolog": (lambda n: b"<!-- a -->" * (n // 10) + b"<svg/>", 300_000, "a.svg"),
    "comments that do not end": (lambda n: b"<!--" * (n // 4), 300_000, "a.svg"),
    "a doctype of quotes": (lambda n: b"<!DOCTYPE svg [" + b"'" * n, 300_000, "a.svg"),
    "a doctype of comments": (
        lambda n: b"<!DOCTYPE svg [" + b"<!-- a -->" * (n // 10),
        300_000,
        "a.svg",
    ),
    "what may stand before an SVG title": (
        lambda n: b"<svg>" + b"<desc>a</desc> " * (n // 15),
        60_000,
        "a.svg",
    ),
    "MPEG frames": (lambda n: b"\xff\xfb\x90\x64" * (n // 4), 300_000, "a.mp3"),
    "ZIP members": (lambda n: b"PK\x03\x04" * (n // 4), 300_000, "a.zip"),
    "SVG names": (lambda n: b"<svg " + b"a " * n + b"></svg>", 32_000, "a.svg"),
    "an unclosed quote": (lambda n: b"<svg " + b"a='" * n, 20_000, "a.svg"),
    "GIF comments": (gif_comment, 12_000_000, ""),
    "GIF frames": (lambda n: GIF + FRAME * n + b";", 1_000_000, ""),
    "JPEG fill": (lambda n: b"\xff\xd8" + b"\xff" * n + SOF, 30_000_000, ""),
    "JPEG escapes": (lambda n: b"\xff\xd8" + b"\xff\0" * n + SOF, 15_000_000, ""),
    "JPEG segments": (lambda n: b"\xff\xd8" + b"\xff\xe3\0\2" * n + SOF, 7_000_000, ""),
    "JPEG scans": (
        lambda n: b"\xff\xd8" + SOF.replace(b"\xc0", b"\xc2") + b"\xff\xda\0\x08\1\1\0\0\0\0\0" * n,
        200_000,
        "",
    ),
    "PNG chunks": (lambda n: png(1, 1, 0, chunk(b"abCd", b"") * n), 2_000_000, ""),
    "PNG with a colour key": (
        lambda _: png(9_990, 9_990, 2, chunk(b"tRNS", b"\0\1\0\2\0\3")),
        1,
        "",
    ),
    "an icon larger than it says": (large_icon, 1, "a.ico"),
    "Netpbm comments": (lambda n: b"P2\n3000 3000\n255\n" + b"#\n" * n, 5_000_000, ""),
    "Netpbm comments first": (lambda n: b"P6\n" + b"#a\n" * n + b"9 9\n255\n", 5_000_000, ""),
    "JPEG of XMP": (jpeg_of(lambda _: XMP), 3_000, ""),
    "parts of XMP": (jpeg_of(part_of_xmp), 1_000_000, ""),
    "EXIF in parts": (jpeg_of(lambda _: b"Exif\0\0" + b"II*\0\x08" * 9_000), 3_000, ""),
    "EXIF in tiny parts": (
        jpeg_of(lambda n: b"Exif\0\0" + (b"a" if n > 70 else b"II*\0" * 16_000)[n > 0 :]),
        20_000,
        "",
    ),
    "Photoshop's resources": (
        jpeg_of(lambda _: PHOTOSHOP + b"8BIM\4\4\0\0\0\0\0\0" * 5_000),
        3_000,
        "",
    ),
    "IPTC datasets": (
        jpeg_of(lambda _: b"\x1c\2\x19\0\1a" * 10_000),
        3_000,
        "",
    ),
    "pixels of a PNG that look like chunks": (false_pixels, 110_000, "a.png"),
    "WebP chunks": (lambda n: WEBP + b"abcd\0\0\0\0" * n, 3_000_000, ""),
}

PROBE = """
import io, resource, sys, time
from PIL import Image
from media_enricher.probe import keep_blocks
from media_enricher.probe.preloading import preload
from tests.probe.samples import full, header
# As in a decoder that has looked at a photograph before.
preload()
keep_blocks()
before = io.BytesIO()
Image.linear_gradient("L").resize((4_000, 3_000)).convert("RGB").save(before, "JPEG")
full(before.getvalue(), "before.jpg")
most = int(time.process_time()) + 10
resource.setrlimit(resource.RLIMIT_CPU, (most, most))
data = open(sys.argv[1], "rb").read()
full(data, sys.argv[2])
header(data, sys.argv[2])
# Not ru_maxrss: that is no less than what the process had that started this one.
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.parametrize("kind", CATALOGUE)
def test_a_hostile_file_costs_seconds_and_half_a_gigabyte_at_most(
    kind: str, tmp_path: Path
) -> None:
    make, n, name = CATALOGUE[kind]
    file = tmp_path / "hostile"
    file.write_bytes(make(n))
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(file), name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) <= 512


LINEAR = {
    "nested XMP": 2_000,
    "AVIF tables": 500,
    "EXIF repeated": 500,
    "GIF frames": 2_000,
    "JPEG segments": 2_000,
    "PNG chunks": 2_000,
    "WebP chunks": 2_000,
}


@pytest.mark.parametrize("kind", LINEAR)
def test_four_times_the_structure_takes_at_most_five_times_the_calls(kind: str) -> None:
    make, _, name = CATALOGUE[kind]
    assert _calls(make(4 * LINEAR[kind]), name) <= 5 * _calls(make(LINEAR[kind]), name)


def _calls(data: bytes, name: str) -> int:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        full(data, name)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    "kind", ["a huge tile", "PNG with a colour key", "an icon larger than it says"]
)
def test_what_would_take_too_much_memory_is_told_and_the_rest_still_read(kind: str) -> None:
    make, n, name = CATALOGUE[kind]
    found = full(make(n), name)
    assert found.error_code is ErrorCode.TOO_MANY_PIXELS
    assert "MEDIA_ENRICHER_MAX_PIXELS" in (found.error_message or "")
    assert found.width
    assert header(make(n), name)[0].error_code is None


def test_blocks_that_are_kept_for_the_next_image_are_given_back_before_a_large_one() -> None:
    program = (
        "from PIL import Image; from media_enricher.probe import keep_blocks;"
        "from media_enricher.probe.image.memory import MAX_DECODED_BYTES, require_room;"
        "kept = lambda: Image.core.get_stats()['blocks_cached'];"
        "keep_blocks(); [Image.new('RGB', (99, 99)) for _ in range(9)];"
        "require_room(9, 9, 9 * 9 * 4, 'small'); print(kept() > 0);"
        "require_room(9, 9, MAX_DECODED_BYTES, 'large'); print(kept())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "0"]


def test_after_preload_a_probe_opens_no_file() -> None:
    program = (
        "import resource; from media_enricher.probe.preloading import preload; preload();"
        "from tests.probe.test_hostile import FILES; from tests.probe.samples import full, header;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3));"
        "[full(data, 'a.' + name) and header(data) for name, data in FILES.items()]"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_after_preload_metadata_of_any_encoding_open_no_file() -> None:
    program = (
        "import resource; from media_enricher.probe.preloading import preload; preload();"
        "from tests.probe.test_carriers import check_encodings;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3));"
        "check_encodings()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
