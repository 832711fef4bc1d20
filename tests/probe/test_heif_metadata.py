"""A HEIF file holds several items: whose metadata, and whose colour profile, count."""

from __future__ import annotations

import struct

import pytest
from PIL import ImageCms

from media_enricher.models import Findings
from tests.probe.carriers import box, language, packet, text, tiff
from tests.probe.samples import full, header

Item = tuple[int, bytes, bytes]
"""Number, type and content."""


def full_box(name: bytes, content: bytes, version: int = 0) -> bytes:
    return box(name, bytes([version, 0, 0, 0]) + content)


def heic(
    *items: Item,
    references: tuple[tuple[bytes, int, tuple[int, ...]], ...] = (),
    properties: tuple[bytes, ...] = (),
    owned: dict[int, tuple[int, ...]],
    primary: int = 1,
) -> bytes:
    """A file that describes its items; the pictures have no pixels.

    Args:
        items: each as its number, its type and its content.
        references: (type, from, to), such as `cdsc` from EXIF to the picture that it describes.
        properties: boxes.
        owned: the properties of each item, by their numbers from 1 on.
        primary: the number of the primary item.
    """
    entries = b"".join(
        full_box(b"infe", struct.pack(">HH4s", number, 0, name) + b"\0", 2)
        for number, name, _ in items
    )
    links = b"".join(
        box(name, struct.pack(f">HH{len(to)}H", source, len(to), *to))
        for name, source, to in references
    )
    owners = b"".join(
        struct.pack(">HB", item, len(indices)) + bytes(indices) for item, indices in owned.items()
    )
    association = full_box(b"ipma", struct.pack(">I", len(owned)) + owners)

    def meta(start: int) -> bytes:
        rows, at = b"", start
        for number, _, content in items:
            rows += struct.pack(">HHHII", number, 0, 1, at, len(content))
            at += len(content)
        return full_box(
            b"meta",
            full_box(b"hdlr", bytes(4) + b"pict" + bytes(13))
            + full_box(b"pitm", struct.pack(">H", primary))
            + full_box(b"iinf", struct.pack(">H", len(items)) + entries)
            + full_box(b"iref", links)
            + box(b"iprp", box(b"ipco", b"".join(properties)) + association)
            + full_box(b"iloc", b"\x44\0" + struct.pack(">H", len(items)) + rows),
        )

    kind = box(b"ftyp", b"heic\0\0\0\0mif1heic")
    start = len(kind) + len(meta(0)) + 8
    return kind + meta(start) + box(b"mdat", b"".join(content for *_, content in items))


SIZE = full_box(b"ispe", struct.pack(">II", 64, 48))


def exif(make: str) -> bytes:
    return bytes(4) + tiff(base={0x010F: text(make)})


def both(data: bytes) -> list[Findings]:
    return [full(data), header(data, path="a.heic", first=64)[0]]


@pytest.mark.parametrize("is_first", [True, False])
def test_exif_and_xmp_are_those_of_the_primary_picture(is_first: bool) -> None:
    pictures: list[Item] = [(1, b"hvc1", b"pixels"), (2, b"hvc1", b"pixels")]
    metadata: list[Item] = [
        (3, b"Exif", exif("Right")),
        (4, b"Exif", exif("Wrong")),
        (5, b"mime", packet(language("dc:title", "Wrong"))),
        (6, b"mime", packet(language("dc:title", "Right"))),
    ]
    data = heic(
        *pictures,
        *(metadata if is_first else reversed(metadata)),
        references=(
            (b"cdsc", 3, (1,)),
            (b"cdsc", 4, (2,)),
            (b"cdsc", 5, (2,)),
            (b"cdsc", 6, (2, 1)),
        ),
        properties=(SIZE,),
        owned={1: (1,), 2: (1,)},
    )
    for found in both(data):
        assert (found.camera_make, found.title) == ("Right", "Right")


def test_exif_without_a_reference_counts_where_no_other_picture_claims_it() -> None:
    data = heic(
        (1, b"hvc1", b"pixels"),
        (2, b"Exif", exif("Acme")),
        properties=(SIZE,),
        owned={1: (1,)},
    )
    assert [found.camera_make for found in both(data)] == ["Acme", "Acme"]


def test_exif_of_another_picture_alone_is_none() -> None:
    data = heic(
        (1, b"hvc1", b"pixels"),
        (2, b"hvc1", b"pixels"),
        (3, b"Exif", exif("Wrong")),
        references=((b"cdsc", 3, (2,)),),
        properties=(SIZE,),
        owned={1: (1,), 2: (1,)},
    )
    assert [found.camera_make for found in both(data)] == [None, None]


def test_the_profile_of_a_grid_may_be_that_of_its_tiles() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    colour = box(b"colr", b"prof" + profile.tobytes())
    data = heic(
        (1, b"grid", b"\0\0\0\1\0\x40\0\x30"),
        (2, b"hvc1", b"pixels"),
        (3, b"hvc1", b"pixels"),
        references=((b"dimg", 1, (2, 3)),),
        properties=(SIZE, colour),
        owned={1: (1,), 2: (1, 2), 3: (1, 2)},
    )
    name = ImageCms.getProfileDescription(profile).strip()
    assert [found.icc_profile for found in both(data)] == [name, name]
