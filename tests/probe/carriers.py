"""Small files of every format, with a block of metadata in each of the places it may stand in."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from PIL import Image

from tests.probe.samples import saved

Entry: TypeAlias = tuple[int, bytes]
"""Field type, and the bytes of the value in the order of the file."""
Carrier: TypeAlias = Callable[[bytes], bytes]
"""From a block to the file that carries it."""

WIDTH, HEIGHT = 40, 30
ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7
_TYPE_BYTES = {1: 1, ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, UNDEFINED: 1}


def picture() -> Image.Image:
    """A small picture with more than one colour."""
    return Image.linear_gradient("L").resize((WIDTH, HEIGHT)).convert("RGB")


def text(value: str) -> Entry:
    """ASCII as EXIF has it, with its NUL."""
    return ASCII, value.encode() + b"\0"


def rationals(*values: tuple[int, int], order: str = "<") -> Entry:
    """Fractions."""
    return RATIONAL, b"".join(struct.pack(f"{order}II", *value) for value in values)


def tiff(
    *,
    order: str = "<",
    is_big: bool = False,
    base: Mapping[int, Entry] | None = None,
    camera: Mapping[int, Entry] | None = None,
    gps: Mapping[int, Entry] | None = None,
    pixels: bytes = b"",
) -> bytes:
    """A TIFF of one directory, with one for the camera and one for the position where asked for.

    Args:
        order: of bytes, as `struct` names it.
        is_big: a BigTIFF.
        base: the entries of the first directory.
        camera: those of the directory of EXIF.
        gps: those of the directory of GPS.
        pixels: of one strip; its offset and length are filled in.
    """
    offset, inline = ("Q", 8) if is_big else ("I", 4)
    magic = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, 0) if is_big else struct.pack(f"{order}HI", 42, 0)
    out = bytearray(magic + head)
    entries = dict(base or {})
    if pixels:
        entries[273] = LONG, struct.pack(f"{order}I", len(out))
        entries[279] = LONG, struct.pack(f"{order}I", len(pixels))
        out += pixels

    def append(directory: Mapping[int, Entry]) -> int:
        cells = []
        for tag, (field_type, value) in sorted(directory.items()):
            cell = value
            if len(value) > inline:
                out.extend(bytes(len(out) % 2))
                cell = struct.pack(order + offset, len(out))
                out.extend(value)
            length = len(value) // _TYPE_BYTES[field_type]
            cells.append(
                struct.pack(f"{order}HH{offset}", tag, field_type, length)
                + cell.ljust(inline, b"\0")
            )
        out.extend(bytes(len(out) % 2))
        at = len(out)
        out.extend(struct.pack(order + ("Q" if is_big else "H"), len(cells)))
        out.extend(b"".join(cells) + bytes(inline))
        return at

    for pointer, directory in ((0x8769, camera), (0x8825, gps)):
        if directory:
            entries[pointer] = LONG, struct.pack(f"{order}I", append(directory))
    at = append(entries)
    struct.pack_into(order + offset, out, 8 if is_big else 4, at)
    return bytes(out)


def picture_tags(order: str = "<") -> dict[int, Entry]:
    """The entries of a TIFF of 8-bit RGB."""

    def short(*values: int) -> Entry:
        return SHORT, struct.pack(f"{order}{len(values)}H", *values)

    return {
        256: short(WIDTH),
        257: short(HEIGHT),
        258: short(8, 8, 8),
        259: short(1),
        262: short(2),
        277: short(3),
        278: short(HEIGHT),
    }


def packet(body: str = "", attributes: str = "") -> bytes:
    """An XMP packet of one node."""
    spaces = {
        "dc": "http://purl.org/dc/elements/1.1/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "exifEX": "http://cipa.jp/exif/1.0/",
        "tiff": "http://ns.adobe.com/tiff/1.0/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
        "cc": "http://creativecommons.org/ns#",
        "aux": "http://ns.adobe.com/exif/1.0/aux/",
        "core": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
        "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "ms": "http://ns.microsoft.com/photo/1.0",
    }
    declared = " ".join(f'xmlns:{name}="{space}"' for name, space in spaces.items())
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {declared} {attributes}>{body}</rdf:Description>'
        f'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def language(name: str, value: str) -> str:
    """A text in one language."""
    return f'<{name}><rdf:Alt><rdf:li xml:lang="x-default">{value}</rdf:li></rdf:Alt></{name}>'


def items(name: str, *values: str, kind: str = "Bag") -> str:
    """A list of texts."""
    inner = "".join(f"<rdf:li>{value}</rdf:li>" for value in values)
    return f"<{name}><rdf:{kind}>{inner}</rdf:{kind}></{name}>"


def datasets(*values: tuple[int, str | bytes], is_utf8: bool = True) -> bytes:
    """IPTC-IIM of the application record."""
    block = b"\x1c\x01\x5a\x00\x03\x1b%G" if is_utf8 else b""
    for number, value in values:
        raw = value.encode() if isinstance(value, str) else value
        block += struct.pack(">BBBH", 0x1C, 2, number, len(raw)) + raw
    return block


def resource(number: int, content: bytes, name: bytes = b"\0\0") -> bytes:
    """One of Photoshop's image resources."""
    head = b"8BIM" + struct.pack(">H", number) + name + struct.pack(">I", len(content))
    return head + content + bytes(len(content) % 2)


def manifest() -> bytes:
    """The start of a C2PA manifest store: a JUMBF superbox with its description."""
    identity = bytes.fromhex("6332706100110010800000aa00389b71")
    description = box(b"jumd", identity + b"\x03c2pa\0")
    return box(b"jumb", description + box(b"cbor", bytes(40)))


def box(name: bytes, content: bytes) -> bytes:
    """A box of an ISO file, of JPEG 2000 or of JUMBF."""
    return struct.pack(">I4s", 8 + len(content), name) + content


# --- JPEG ---


def segment(marker: int, content: bytes) -> bytes:
    """One of JPEG's segments."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments: bytes) -> bytes:
    """A JPEG with these segments before everything else."""
    plain = saved(picture(), "jpeg")
    return plain[:2] + b"".join(segments) + plain[2:]


def exif_in_jpeg(block: bytes) -> bytes:
    """In APP1."""
    return jpeg(segment(0xE1, b"Exif\0\0" + block))


def exif_in_two_segments(block: bytes) -> bytes:
    """In two of APP1, as exiftool and Pillow split what is larger than 64 KB."""
    half = len(block) // 2
    return jpeg(
        segment(0xE1, b"Exif\0\0" + block[:half]), segment(0xE1, b"Exif\0\0" + block[half:])
    )


def xmp_in_jpeg(block: bytes) -> bytes:
    """In APP1."""
    return jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + block))


def extended_xmp(block: bytes) -> bytes:
    """In pieces, beside a packet that says nothing but where to look."""
    digest = hashlib.md5(block, usedforsecurity=False).hexdigest().upper().encode()
    parts = [
        segment(
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0"
            + digest
            + struct.pack(">II", len(block), at)
            + block[at : at + 300],
        )
        for at in range(0, len(block), 300)
    ]
    standard = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet())
    return jpeg(standard, *reversed(parts))


def photoshop_in_jpeg(block: bytes, number: int = 0x0404) -> bytes:
    """In APP13, behind a resource with a name."""
    other = resource(0x03ED, b"abc", name=b"\x04odd!\0")
    return jpeg(segment(0xED, b"Photoshop 3.0\0" + other + resource(number, block)))


def photoshop_in_two_segments(block: bytes) -> bytes:
    """In two of APP13, cut within the block."""
    resources = resource(0x0426, b"x" * 100) + resource(0x0404, block)
    return jpeg(
        segment(0xED, b"Photoshop 3.0\0" + resources[:130]),
        segment(0xED, b"Photoshop 3.0\0" + resources[130:]),
    )


# --- PNG ---


def chunk(name: bytes, content: bytes) -> bytes:
    """One of PNG's chunks."""
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(*, before: bytes = b"", behind: bytes = b"") -> bytes:
    """A PNG with these chunks before its pixels, or behind them."""
    plain = saved(picture(), "png")
    pixels, end = plain.index(b"IDAT") - 4, plain.index(b"IEND") - 4
    return plain[:pixels] + before + plain[pixels:end] + behind + plain[end:]


def raw_profile(kind: str, block: bytes, *, name: str | None = None) -> bytes:
    """Binary as ImageMagick and exiftool keep it in a text; they differ in the name within."""
    digits = block.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    packed = zlib.compress(f"\n{name or kind}\n{len(block):8}\n{lines}\n".encode())
    return chunk(b"zTXt", f"Raw profile type {kind}".encode() + b"\0\0" + packed)


def profile_in_png(
    block: bytes, *, kind: str, prefix: bytes = b"", name: str | None = None
) -> bytes:
    """In a raw profile."""
    return png(before=raw_profile(kind, prefix + block, name=name))


def chunk_in_png(block: bytes, *, name: bytes, prefix: bytes = b"", is_late: bool = False) -> bytes:
    """In a chunk of its own."""
    made = chunk(name, prefix + block)
    return png(behind=made) if is_late else png(before=made)


# --- the others ---


def webp(block: bytes, *, name: bytes, flag: int) -> bytes:
    """In a chunk of WebP, behind the pixels."""
    plain = saved(picture(), "webp", lossless=True)
    size = (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    extended = struct.pack("<4sI", b"VP8X", 10) + bytes([flag, 0, 0, 0]) + size
    carried = struct.pack("<4sI", name, len(block)) + block + bytes(len(block) % 2)
    body = b"WEBP" + extended + plain[12:] + carried
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif(block: bytes, *, is_late: bool = False) -> bytes:
    """XMP in an application extension, before the picture or behind it."""
    plain = saved(picture().quantize(8), "gif")
    at = 13 + 3 * 2 ** ((plain[10] & 7) + 1)
    magic = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    extension = b"\x21\xff\x0bXMP DataXMP" + block + magic
    if is_late:
        return b"GIF89a" + plain[6:-1] + extension + b";"
    return b"GIF89a" + plain[6:at] + extension + plain[at:]


def tiff_with(
    block: bytes, *, tag: int, field_type: int = UNDEFINED, is_big: bool = False
) -> bytes:
    """In a tag of a TIFF's first directory."""
    padded = block + bytes(-len(block) % _TYPE_BYTES[field_type])
    entries = picture_tags() | {tag: (field_type, padded)}
    return tiff(base=entries, pixels=picture().tobytes(), is_big=is_big)


def psd(block: bytes, *, number: int) -> bytes:
    """In an image resource of a PSD."""
    resources = resource(0x03ED, b"abc") + resource(number, block)
    planes = b"".join(plane.tobytes() for plane in picture().split())
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, HEIGHT, WIDTH, 8, 3)
    length = struct.Struct(">I").pack
    return head + length(0) + length(len(resources)) + resources + length(0) + b"\0\0" + planes


def jpeg_2000(block: bytes, *, identity: str) -> bytes:
    """In a box of JPEG 2000, behind its signature and type."""
    plain = saved(picture(), "jpeg2000")
    at = 12 + int.from_bytes(plain[12:16], "big")
    return plain[:at] + box(b"uuid", bytes.fromhex(identity) + block) + plain[at:]


def avif(block: bytes, *, how: str) -> bytes:
    """As an item of an AVIF, as Pillow writes it."""
    return saved(picture(), "avif", **{how: block})


def _swapped(block: bytes) -> bytes:
    padded = block + bytes(-len(block) % 4)
    return b"".join(padded[at : at + 4][::-1] for at in range(0, len(padded), 4))


def _manifest_in_avif(block: bytes) -> bytes:
    """Behind the file's type. The offsets of the pixels would have to be moved, and are not."""
    identity = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    made = box(b"uuid", identity + bytes(4) + b"manifest\0" + bytes(8) + block)
    plain = saved(picture(), "avif")
    at = int.from_bytes(plain[:4], "big")
    return plain[:at] + made + plain[at:]


def _manifest_in_jpeg_2000(block: bytes) -> bytes:
    plain = saved(picture(), "jpeg2000")
    at = 12 + int.from_bytes(plain[12:16], "big")
    return plain[:at] + block + plain[at:]


XMP_KEYWORD = b"XML:com.adobe.xmp\0"

EXIF_CARRIERS: dict[str, Carrier] = {
    "JPEG, APP1": exif_in_jpeg,
    "JPEG, two of APP1": exif_in_two_segments,
    "JPEG, Photoshop's resources": partial(photoshop_in_jpeg, number=0x0422),
    "PNG, eXIf": partial(chunk_in_png, name=b"eXIf"),
    "PNG, eXIf behind the pixels": partial(chunk_in_png, name=b"eXIf", is_late=True),
    "PNG, eXIf with JPEG's prefix": partial(chunk_in_png, name=b"eXIf", prefix=b"Exif\0\0"),
    "PNG, raw profile exif": partial(profile_in_png, kind="exif", prefix=b"Exif\0\0"),
    "PNG, raw profile APP1": partial(profile_in_png, kind="APP1", prefix=b"Exif\0\0"),
    "WebP": partial(webp, name=b"EXIF", flag=0x08),
    "WebP, with JPEG's prefix": lambda block: webp(b"Exif\0\0" + block, name=b"EXIF", flag=0x08),
    "WebP, not announced": partial(webp, name=b"EXIF", flag=0),
    "AVIF": partial(avif, how="exif"),
    "PSD": partial(psd, number=0x0422),
    "JPEG 2000": partial(jpeg_2000, identity="4a706754696666457869662d3e4a5032"),
}
XMP_CARRIERS: dict[str, Carrier] = {
    "JPEG, APP1": xmp_in_jpeg,
    "JPEG, extended": extended_xmp,
    "JPEG, Photoshop's resources": partial(photoshop_in_jpeg, number=0x0424),
    "PNG, iTXt": partial(chunk_in_png, name=b"iTXt", prefix=XMP_KEYWORD + b"\0\0\0\0"),
    "PNG, iTXt behind the pixels": partial(
        chunk_in_png, name=b"iTXt", prefix=XMP_KEYWORD + b"\0\0\0\0", is_late=True
    ),
    "PNG, iTXt, packed": lambda block: png(
        before=chunk(b"iTXt", XMP_KEYWORD + b"\x01\0\0\0" + zlib.compress(block))
    ),
    "PNG, raw profile xmp": partial(profile_in_png, kind="xmp"),
    "PNG, raw profile APP1": partial(
        profile_in_png, kind="APP1", prefix=b"http://ns.adobe.com/xap/1.0/\0"
    ),
    "WebP": partial(webp, name=b"XMP ", flag=0x04),
    "GIF": gif,
    "GIF, behind the picture": partial(gif, is_late=True),
    "AVIF": partial(avif, how="xmp"),
    "TIFF, as bytes": partial(tiff_with, tag=700, field_type=1),
    "TIFF, undefined": partial(tiff_with, tag=700),
    "BigTIFF": partial(tiff_with, tag=700, is_big=True),
    "PSD": partial(psd, number=0x0424),
    "JPEG 2000": partial(jpeg_2000, identity="be7acfcb97a942e89c71999491e3afac"),
    "EXIF in a JPEG": lambda block: exif_in_jpeg(tiff(base={700: (1, block)})),
}
IPTC_CARRIERS: dict[str, Carrier] = {
    "JPEG, APP13": photoshop_in_jpeg,
    "JPEG, two of APP13": photoshop_in_two_segments,
    "PNG, raw profile iptc": partial(profile_in_png, kind="iptc"),
    "PNG, raw profile iptc, as resources": lambda block: profile_in_png(
        resource(0x0404, block), kind="iptc"
    ),
    "PNG, raw profile iptc, by exiftool": lambda block: profile_in_png(
        resource(0x0404, block), kind="iptc", name="IPTC profile"
    ),
    "PNG, raw profile 8bim": lambda block: profile_in_png(resource(0x0404, block), kind="8bim"),
    "PNG, raw profile APP13": lambda block: profile_in_png(
        b"Photoshop 3.0\0" + resource(0x0404, block), kind="app13"
    ),
    "TIFF, undefined": partial(tiff_with, tag=33723),
    "TIFF, as LONG": partial(tiff_with, tag=33723, field_type=LONG),
    "TIFF, as LONG, swapped": lambda block: tiff_with(_swapped(block), tag=33723, field_type=LONG),
    "TIFF, Photoshop's resources": lambda block: tiff_with(resource(0x0404, block), tag=34377),
    "BigTIFF": partial(tiff_with, tag=33723, field_type=LONG, is_big=True),
    "PSD": partial(psd, number=0x0404),
    "JPEG 2000": partial(jpeg_2000, identity="33c7a4d2b81d4723a0baf1a3e097ad38"),
}
MANIFEST_CARRIERS: dict[str, Carrier] = {
    "JPEG, APP11": lambda block: jpeg(segment(0xEB, b"JP\0\1\0\0\0\1" + block)),
    "PNG, caBX": partial(chunk_in_png, name=b"caBX"),
    "WebP": partial(webp, name=b"C2PA", flag=0),
    "TIFF": partial(tiff_with, tag=52545),
    "AVIF": _manifest_in_avif,
    "JPEG 2000": _manifest_in_jpeg_2000,
}
