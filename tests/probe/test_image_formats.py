"""Formats beside the web's: size and type by the header, pixels where something decodes them."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from fractions import Fraction

import pytest
from PIL import Image

from media_enricher.models import AssetStatus, ErrorCode
from media_enricher.probe.image import decoders, jxl, tiny
from media_enricher.probe.image.transforms import Box, Placement
from tests.probe.samples import full, header, photograph, saved

brotli = pytest.importorskip("brotli", reason="it comes with the extra jxl")

Tags = Mapping[int, tuple[int, bytes]]
"""Tag -> its type and its value, in the byte order of the file."""


def tiff(order: str, tags: Tags, *, magic: bytes = b"", is_big: bool = False, at: int = 0) -> bytes:
    """A TIFF with one directory, its values behind it; `at` is where it begins."""
    widths = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 16: 8}
    offset, entry, inline = ("Q", 20, 8) if is_big else ("I", 12, 4)
    first = 16 if is_big else 8
    values_at = at + first + (8 if is_big else 2) + entry * len(tags) + inline
    entries, values = b"", b""
    for tag, (kind, value) in sorted(tags.items()):
        place = value.ljust(inline, b"\0")
        if len(value) > inline:
            place = struct.pack(order + offset, values_at + len(values))
            values += value + bytes(len(value) % 2)
        length = len(value) // widths[kind]
        entries += struct.pack(f"{order}HH{offset}", tag, kind, length) + place
    start = b"II" if order == "<" else b"MM"
    if is_big:
        start += struct.pack(f"{order}HHHQ", 43, 8, 0, 16)
        count = struct.pack(f"{order}Q", len(tags))
    else:
        start = magic or start + struct.pack(f"{order}H", 42)
        start += struct.pack(f"{order}I", 8)
        count = struct.pack(f"{order}H", len(tags))
    return start + count + entries + bytes(inline) + values


def short(order: str, *numbers: int) -> tuple[int, bytes]:
    return 3, struct.pack(f"{order}{len(numbers)}H", *numbers)


def long(order: str, *numbers: int) -> tuple[int, bytes]:
    return 4, struct.pack(f"{order}{len(numbers)}I", *numbers)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


# --- turns and cut-outs


def test_a_cut_out_behind_a_turn_is_one_of_the_turned_picture() -> None:
    placed = Placement(100, 60)
    placed.turn(1)  # 60 x 100
    placed.cut(Fraction(60), Fraction(20), Fraction(0), Fraction(-40))  # the topmost 20 rows
    # What is on top after a turn anticlockwise was at the right.
    assert (placed.box, placed.orientation) == (Box(80, 0, 100, 60), 8)


def test_a_turn_behind_a_mirror_is_another_than_before_it() -> None:
    before, behind = Placement(4, 2), Placement(4, 2)
    before.turn(1)
    before.mirror(1)
    behind.mirror(1)
    behind.turn(1)
    assert (before.orientation, behind.orientation) == (7, 5)


@pytest.mark.parametrize("size", [(0, 10), (10, 0)])
def test_a_cut_out_of_nothing_shows_all(size: tuple[int, int]) -> None:
    placed = Placement(40, 30)
    placed.cut(Fraction(size[0]), Fraction(size[1]), Fraction(0), Fraction(0))
    assert placed.box == Box(0, 0, 40, 30)


# --- HEIC and JPEG XL


def test_a_heic_is_decoded() -> None:
    found = full(tiny.HEIC)
    assert (found.status, found.format, found.width, found.height) == (
        *(AssetStatus.ENRICHED, "heic", 16, 16),
    )
    assert found.dominant_color is not None


@pytest.mark.parametrize(("name", "data"), [("heic", tiny.HEIC), ("jxl", tiny.JXL)])
def test_without_its_extra_a_format_has_its_size_and_says_what_to_install(
    name: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(decoders._PLUGINS, name)
    for found in (full(data), header(data)[0]):
        assert (found.status, found.error_code) == (
            *(AssetStatus.UNSUPPORTED, ErrorCode.UNSUPPORTED_TYPE),
        )
        assert (found.width, found.height) == (16, 16)
        assert "extra" in (found.error_message or "")


def test_a_cut_heic_is_truncated() -> None:
    found = full(tiny.HEIC[:-5])
    assert (found.error_code, found.width) == (ErrorCode.TRUNCATED, 16)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
@pytest.mark.parametrize("size", [(640, 480), (333, 77), (1, 1), (3000, 16)])
def test_jpeg_xl_by_its_codestream(mode: str, size: tuple[int, int]) -> None:
    data = saved(Image.new(mode, size), "JXL")
    found = full(data)
    assert (found.status, found.content_type) == (AssetStatus.ENRICHED, "image/jxl")
    assert (found.width, found.height, found.color_mode) == (*size, mode)
    assert found.has_alpha is mode.endswith("A")


@pytest.mark.parametrize("is_packed", [False, True])
def test_jpeg_xl_in_boxes_has_its_exif(is_packed: bool) -> None:
    exif = bytes(4) + tiff("<", {271: (2, b"Acme\0")})
    carrier = box(b"Exif", exif)
    if is_packed:
        carrier = box(b"brob", b"Exif" + brotli.compress(exif))
    start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    found = full(start + carrier + box(b"jxlc", tiny.JXL))
    assert (found.camera_make, found.width) == ("Acme", 16)


def test_a_jpeg_xl_whose_packed_metadata_are_endless_is_read_within_bounds() -> None:
    bomb = brotli.compress(bytes(64 * 1024 * 1024), quality=1)
    start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    assert jxl._unpacked(bomb) is None
    found = full(start + box(b"brob", b"xml " + bomb) + box(b"jxlc", tiny.JXL))
    assert (found.status, found.width) == (AssetStatus.ENRICHED, 16)


def test_a_cut_jpeg_xl_is_truncated() -> None:
    assert full(tiny.JXL[:3]).error_code is ErrorCode.TRUNCATED
    start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    found = full((start + box(b"jxlc", tiny.JXL))[:-9])
    assert found.error_code is ErrorCode.TRUNCATED


# --- TIFF


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_big", [False, True])
def test_a_tiff_that_nothing_decodes_has_its_size(order: str, is_big: bool) -> None:
    tags = {
        256: short(order, 40),
        257: short(order, 30),
        258: short(order, 32, 32, 32),
        262: short(order, 2),
        277: short(order, 3),
        339: short(order, 3, 3, 3),
        273: long(order, 8),
        279: long(order, 40 * 30 * 12),
    }
    found = full(tiff(order, tags, is_big=is_big) + bytes(40 * 30 * 12))
    assert (found.width, found.height, found.bit_depth) == (40, 30, 32)
    assert (found.status, found.error_code) == (
        *(AssetStatus.UNSUPPORTED, ErrorCode.UNSUPPORTED_TYPE),
    )


def test_a_tiff_cut_behind_its_first_page_shows_it_and_says_so() -> None:
    file = io.BytesIO()
    page = photograph(64, 48)
    page.save(file, "tiff", save_all=True, append_images=[page, page])
    assert full(file.getvalue()).frame_count == 3
    data = file.getvalue()
    found = full(data[: len(data) // 2 - 200])
    assert (found.status, found.warnings) == (AssetStatus.ENRICHED, ["truncated"])
    assert found.frame_count is not None
    assert found.frame_count < 3
    assert "truncated-but-shown" in (found.labels or ())


def test_directories_in_a_circle_end() -> None:
    data = bytearray(saved(photograph(16, 16), "tiff"))
    first = int.from_bytes(data[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
    data[link : link + 4] = first.to_bytes(4, "little")
    assert full(bytes(data)).frame_count == 1


# --- raw files

JPEG = saved(photograph(320, 240), "jpeg")


def raw_file(order: str, more: Tags, *, magic: bytes = b"", make: bytes = b"") -> bytes:
    """A TIFF with a sensor's picture of 340 x 260 and a JPEG."""
    tags = {
        256: long(order, 340),
        257: long(order, 260),
        258: short(order, 14),
        262: short(order, 32803),
        274: short(order, 6),
        513: long(order, 1000),
        514: long(order, len(JPEG)),
        **({271: (2, make + b"\0")} if make else {}),
        **more,
    }
    return tiff(order, tags, magic=magic).ljust(1000, b"\0") + JPEG


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("name", "make", "more"),
    [
        ("dng", b"Acme", {50706: (1, b"\1\4\0\0")}),
        ("nef", b"NIKON CORPORATION", {}),
        ("arw", b"SONY", {}),
        ("pef", b"PENTAX Corporation", {}),
        ("pef", b"RICOH IMAGING COMPANY", {}),
    ],
)
def test_a_raw_file_is_told_by_its_bytes_and_shown_by_its_preview(
    name: str, make: bytes, more: Tags, order: str
) -> None:
    data = raw_file(order, more, make=make)
    for path in ("a", "a.tif", f"a.{name}"):
        found = full(data, path=path)
        assert (found.status, found.format) == (AssetStatus.ENRICHED, name), found.error_message
        assert found.content_type is not None
        assert found.content_type.endswith(name)
        assert (found.width, found.height, found.orientation) == (260, 340, 6)
        assert found.bit_depth == 14
        assert found.camera_make == make.decode()
        assert distance(found.phash, full(JPEG_TURNED).phash) <= 4


def distance(first: str | None, second: str | None) -> int:
    assert first is not None
    assert second is not None
    return (int(first, 16) ^ int(second, 16)).bit_count()


JPEG_TURNED = saved(Image.open(io.BytesIO(JPEG)).transpose(Image.Transpose.ROTATE_270), "png")


@pytest.mark.parametrize(
    ("magic", "name"), [(b"IIRO", "orf"), (b"IIRS", "orf"), (b"MMOR", "orf"), (b"IIU\0", "rw2")]
)
def test_orf_and_rw2_have_signatures_of_their_own(magic: bytes, name: str) -> None:
    order = ">" if magic[:2] == b"MM" else "<"
    edges = {4: short(order, 2), 5: short(order, 4), 6: short(order, 242), 7: short(order, 324)}
    found = full(raw_file(order, edges if name == "rw2" else {}, magic=magic))
    assert (found.status, found.format) == (AssetStatus.ENRICHED, name)
    assert (found.height, found.width) == ((320, 240) if name == "rw2" else (340, 260))


def test_a_preview_that_no_directory_names_is_found() -> None:
    found = full(raw_file("<", {513: long("<", 0), 514: long("<", 0)}, magic=b"IIRO"))
    assert (found.status, found.palette is None) == (AssetStatus.ENRICHED, False)


def test_a_raw_file_without_a_preview_is_unsupported_with_its_size() -> None:
    data = raw_file("<", {513: long("<", 0), 514: long("<", 0)}, make=b"SONY")[:1000]
    found = full(data)
    assert (found.status, found.width, found.height) == (AssetStatus.UNSUPPORTED, 260, 340)


def test_a_tiff_that_is_only_named_like_a_raw_file_is_a_tiff() -> None:
    found = full(saved(photograph(), "tiff"), path="a.nef")
    assert (found.content_type, found.format) == ("image/tiff", "tiff")


def test_raf_is_read_by_its_jpeg_and_its_records() -> None:
    records = struct.pack(">IHHHH", 1, 0x0111, 4, 250, 330)
    start = b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0")
    at = 128 + len(records)
    start += struct.pack(">IIII", at, len(JPEG), 128, len(records))
    found = full(start.ljust(128, b"\0") + records + JPEG)
    assert (found.status, found.format) == (AssetStatus.ENRICHED, "raf")
    assert (found.width, found.height) == (330, 250)
    assert found.phash == full(JPEG).phash


def test_cr3_is_read_by_its_boxes() -> None:
    main = tiff("<", {256: short("<", 340), 257: short("<", 260), 271: (2, b"Canon\0")})
    dated = tiff("<", {0x9003: (2, b"2021:02:03 04:05:06\0")})
    latitude = {1: (2, b"N\0"), 2: (5, struct.pack("<6I", 48, 1, 15, 1, 0, 1))}
    longitude = {3: (2, b"E\0"), 4: (5, struct.pack("<6I", 16, 1, 30, 1, 0, 1))}
    boxes = [(b"CMT1", main), (b"CMT2", dated), (b"CMT4", tiff("<", latitude | longitude))]
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    metadata = box(b"uuid", canon + b"".join(box(name, content) for name, content in boxes))

    def file(at: int) -> bytes:
        sizes = box(b"stsz", struct.pack(">IIII", 0, 0, 1, len(JPEG)))
        places = box(b"co64", struct.pack(">IIQ", 0, 1, at))
        track = box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", sizes + places))))
        return box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", metadata + track)

    data = file(len(file(0)) + 8) + box(b"mdat", JPEG)
    found = full(data)
    assert (found.status, found.format) == (AssetStatus.ENRICHED, "cr3"), found.error_message
    assert (found.width, found.height, found.camera_make) == (340, 260, "Canon")
    assert (found.taken_at is None, found.has_location) == (False, True)
    assert found.phash == full(JPEG).phash


# --- others


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("depth", [16, 32])
def test_a_deep_photoshop_file_is_not_corrupt(version: int, depth: int) -> None:
    start = struct.pack(">4sH6xHIIHH", b"8BPS", version, 3, 30, 40, depth, 3)
    found = full(start + bytes(14) + bytes(40 * 30 * 3 * depth // 8))
    assert (found.status, found.width, found.height) == (AssetStatus.UNSUPPORTED, 40, 30)
    assert found.bit_depth == depth


@pytest.mark.parametrize(
    ("name", "data", "size"),
    [
        ("cur", tiny.CURSOR, (16, 16)),
        ("psd", tiny.PSD, (16, 16)),
        ("pcx", saved(photograph(40, 30), "pcx"), (40, 30)),
        ("pcx", saved(photograph(41, 30).convert("L"), "pcx"), (41, 30)),
    ],
)
def test_small_old_formats_are_decoded(name: str, data: bytes, size: tuple[int, int]) -> None:
    found = full(data)
    assert (found.status, found.format) == (AssetStatus.ENRICHED, name), found.error_message
    assert (found.width, found.height) == size


@pytest.mark.parametrize(
    ("data", "depth"),
    [
        (b"PF\n40 30\n-1.0\n" + bytes(40 * 30 * 12), 32),
        (b"P7\nWIDTH 40\nHEIGHT 30\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n", 8),
        (b"P7\n# by hand\nDEPTH 1\nHEIGHT 30\nWIDTH 40\nMAXVAL 65535\nENDHDR\n", 16),
    ],
)
def test_pfm_and_pam_are_not_corrupt(data: bytes, depth: int) -> None:
    found = full(data + bytes(40 * 30 * 8))
    assert (found.status, found.width, found.height) == (AssetStatus.UNSUPPORTED, 40, 30)
    assert found.bit_depth == depth


@pytest.mark.parametrize(("most", "depth"), [(255, 8), (65535, 16), (1023, 10)])
def test_the_depth_of_a_ppm_is_that_of_its_largest_value(most: int, depth: int) -> None:
    data = b"P6 4 3 %d\n" % most + bytes(4 * 3 * 6)
    assert full(data).bit_depth == depth


def test_a_bitmap_whose_masks_pillow_lacks_has_its_size() -> None:
    info = struct.pack("<IiiHHIIiiII", 40, 40, -30, 1, 32, 3, 4800, 0, 0, 0, 0)
    masks = struct.pack("<III", 0x3FF00000, 0xFFC00, 0x3FF)
    start = struct.pack("<2sIHHI", b"BM", 66 + 4800, 0, 0, 66)
    found = full(start + info + masks + bytes(4800))
    assert (found.status, found.width, found.height) == (AssetStatus.UNSUPPORTED, 40, 30)


def exr_attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
    return name + b"\0" + kind + b"\0" + struct.pack("<I", len(value)) + value


def test_openexr_by_its_attributes() -> None:
    channels = b"".join(
        name + b"\0" + struct.pack("<IIII", 1, 0, 1, 1) for name in (b"A", b"B", b"G", b"R")
    )
    attributes = (
        exr_attribute(b"channels", b"chlist", channels + b"\0")
        + exr_attribute(b"dataWindow", b"box2i", struct.pack("<4i", -2, 0, 37, 29))
        + exr_attribute(b"displayWindow", b"box2i", struct.pack("<4i", 0, 0, 35, 29))
    )
    data = b"v/1\x01\2\0\0\0" + attributes + b"\0"
    found = full(data)
    assert (found.status, found.width, found.height) == (AssetStatus.UNSUPPORTED, 40, 30)
    assert (found.bit_depth, found.has_alpha) == (16, True)
    assert full(data[:40]).error_code is ErrorCode.TRUNCATED


def test_a_damaged_psd_keeps_its_metadata_and_a_damaged_jpeg_2000_its_size() -> None:
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", 9) + b"\x1c\x02\x05\0\x04Name" + b"\0"
    colours = struct.pack(">I", 0)
    psd = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 2**32 - 1, 1, 8, 3)
    found = full(psd + colours + struct.pack(">I", len(resource)) + resource + bytes(8))
    assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.CORRUPT)
    assert (found.title, found.width) == ("Name", None)

    for start in (0, 85):  # boxes, and a bare codestream
        sound = saved(photograph(60, 40), "jpeg2000")[start:]
        assert sound[:4] in {b"\0\0\0\x0c", b"\xff\x4f\xff\x51"}
        assert full(sound).status is AssetStatus.ENRICHED
        hurt = sound.replace(b"jp2h", b"jp2x", 1) if not start else sound[:200]
        found = full(hurt)
        assert found.status is AssetStatus.FAILED
        assert (found.width, found.height) == (60, 40)
