"""What a reader finds in a document, and what it is asked to find."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image


@dataclass(slots=True)
class DocumentHeader:
    """Filled by the reader of a format; texts as they stand, to be cleaned by who stores them."""

    is_drawn: bool = False
    """Asked: a picture of the first page, or the cover."""
    max_pixels: int = 0
    """Asked: of the pictures on a page that is drawn, together."""
    excerpt_length: int = 0
    """Asked: so many characters of text."""
    page_count: int | None = None
    page_width_points: float | None = None
    page_height_points: float | None = None
    is_encrypted: bool | None = None
    """It can't be read without a password."""
    title: str | None = None
    description: str | None = None
    creators: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    copyright: str | None = None
    text: str | None = None
    picture: Image.Image | None = None
    """The first page, RGB, small."""
    cover: bytes | None = None
    """The file of a picture within."""
