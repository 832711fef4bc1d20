"""Datasets of IPTC-IIM (version 4.2), by their numbers in the application record."""

from __future__ import annotations

from media_enricher.probe.metadata.texts import decoded
from media_enricher.probe.metadata.times import moment
from media_enricher.probe.metadata.values import Values

_MAX_DATASETS = 5_000
_MARK = 0x1C
_ENVELOPE, _APPLICATION = 1, 2
_CHARACTER_SET = 90
_TITLE, _KEYWORD, _DATE, _TIME, _BY_LINE, _COPYRIGHT, _CAPTION = 5, 25, 55, 60, 80, 116, 120
_KEPT = frozenset({_TITLE, _KEYWORD, _DATE, _TIME, _BY_LINE, _COPYRIGHT, _CAPTION})

# ISO 2022's announcements of an encoding.
_ENCODINGS = {b"\x1b%G": "utf-8", b"\x1b%/I": "utf-8", b"\x1b.A": "latin-1", b"\x1b-A": "latin-1"}


def read(block: bytes) -> Values:
    """What the block says; reading stops where it stops making sense. A cut value is no value."""
    texts: dict[int, list[str]] = {}
    encoding: str | None = None
    at = 0
    for _ in range(_MAX_DATASETS):
        if at + 5 > len(block) or block[at] != _MARK:
            break
        record, dataset = block[at + 1], block[at + 2]
        length = int.from_bytes(block[at + 3 : at + 5], "big")
        at += 5
        if length & 0x8000:  # then it says how many bytes give the length
            width = length & 0x7FFF
            if width > 4:
                break
            length = int.from_bytes(block[at : at + width], "big")
            at += width
        value = block[at : at + length]
        at += length
        if at > len(block):
            break
        if record == _ENVELOPE and dataset == _CHARACTER_SET:
            encoding = _ENCODINGS.get(value[:4].rstrip(b"\0"), _ENCODINGS.get(value[:3]))
        elif record == _APPLICATION and dataset in _KEPT:
            text = value.decode(encoding, "replace") if encoding else decoded(value)
            texts.setdefault(dataset, []).append(text)
    return _values(texts)


def _values(texts: dict[int, list[str]]) -> Values:
    def first(dataset: int) -> str | None:
        return next((text for text in texts.get(dataset, ()) if text.strip("\0 ")), None)

    date, time = first(_DATE), first(_TIME)
    return Values(
        title=first(_TITLE),
        description=first(_CAPTION),
        tags=texts.get(_KEYWORD, []),
        taken=moment(date.strip("\0 ") + (time or "").strip("\0 ")) if date else None,
        creators=texts.get(_BY_LINE, []),
        copyright=first(_COPYRIGHT),
    )
