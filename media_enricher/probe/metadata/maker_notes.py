"""What the notes of a camera's maker tell alone.

The lens, where EXIF does not name it: Canon and Olympus before 2010. That a picture is one of a
burst, or has a film: Apple.

The notes have no standard. Their layout is that of ExifTool's documentation (`TagNames/Canon.html`,
`TagNames/Olympus.html`, `TagNames/Apple.html`).
"""

from __future__ import annotations

from media_enricher.probe.fields.labels import BURST, LIVE_PHOTO
from media_enricher.probe.metadata.directories import ASCII, Entry, Tiff
from media_enricher.probe.metadata.texts import MAX_NAME, clean, decoded

MAKER_NOTE = 0x927C
_CANON_LENS = 0x0095
_APPLE_LABELS = {0x000B: BURST, 0x0011: LIVE_PHOTO}
"""BurstUUID, and the ContentIdentifier that a still shares with its film."""
_OLYMPUS_EQUIPMENT, _OLYMPUS_LENS = 0x2010, 0x0203

# How Olympus's notes begin -> where their directory is, and whether offsets count from the notes.
_OLYMPUS = {b"OLYMPUS\0": (12, True), b"OM SYSTEM\0": (16, True), b"OLYMP\0": (8, False)}
_ORDERS = {b"II": "<", b"MM": ">"}


def lens(tiff: Tiff, notes: Entry, make: str) -> str | None:
    """The lens that the maker's notes name.

    Args:
        tiff: the EXIF.
        notes: where they lie.
        make: the camera's.

    Raises:
        MoreBytesError: the notes lie outside of the window, and may be asked for.
    """
    if notes.size < 32:
        return None
    if make.lower().startswith("canon"):
        return _text(tiff, notes.at - tiff.start, _CANON_LENS)
    start = tiff.window.read(notes.at, 16)
    for name, (directory, is_apart) in _OLYMPUS.items():
        if start.startswith(name):
            order = _ORDERS.get(start[directory - 4 : directory - 2], tiff.order)
            base = tiff.without_header(notes.at, order) if is_apart else tiff
            return _olympus_lens(base, directory + notes.at - base.start)
    return None


def labels(tiff: Tiff, notes: Entry, make: str) -> list[str]:
    """What Apple's notes say of a picture's siblings.

    Raises:
        MoreBytesError: the notes lie outside of the window, and may be asked for.
    """
    if make != "Apple" or notes.size < 32:
        return []
    start = tiff.window.read(notes.at, 14)
    order = _ORDERS.get(start[12:14])
    if not start.startswith(b"Apple iOS\0") or order is None:
        return []
    found = tiff.without_header(notes.at, order).directory(14, _APPLE_LABELS.keys()).entries
    return [label for tag, label in _APPLE_LABELS.items() if tag in found]


def _olympus_lens(base: Tiff, offset: int) -> str | None:
    equipment = base.directory(offset, {_OLYMPUS_EQUIPMENT})
    (inner,) = base.children(equipment, _OLYMPUS_EQUIPMENT, 1) or (None,)
    entry = equipment.entries.get(_OLYMPUS_EQUIPMENT)
    if inner is None and entry is not None:  # older cameras: the value is the directory itself
        inner = entry.at - base.start
    return _text(base, inner, _OLYMPUS_LENS) if inner is not None else None


def _text(tiff: Tiff, offset: int, tag: int) -> str | None:
    entry = tiff.directory(offset, {tag}).entries.get(tag)
    if entry is None or entry.type != ASCII:
        return None
    return clean(decoded(tiff.raw(entry, MAX_NAME).partition(b"\0")[0]), MAX_NAME)
