"""What one source of metadata says, in the same terms whatever the source."""

from __future__ import annotations

from typing import Any

import msgspec

from media_enricher.probe.metadata.position import Position
from media_enricher.probe.metadata.times import Moment


class Values(msgspec.Struct):
    """What EXIF, XMP, IPTC or the container's own fields say, as they stand."""

    orientation: int | None = None
    """EXIF's, 1 to 8."""
    taken: Moment | None = None
    """When the original was made; else when it was digitised."""
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    position: Position | None = None
    title: str | None = None
    description: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    creators: list[str] = msgspec.field(default_factory=list)
    copyright: str | None = None
    license_url: str | None = None
    alt_text: str | None = None
    rating: int | None = None
    """0 to 5, -1 for rejected."""
    digital_source_type: str | None = None
    """IPTC's term, as an address or its last part."""
    labels: list[str] = msgspec.field(default_factory=list)
    """What the source alone can tell: `burst`, `hdr`, `live-photo`."""
    exif: dict[str, Any] = msgspec.field(default_factory=dict)
    """The tags asked for, by name."""
    is_cut: bool = False
    """A part of the source lies outside of the window: what is missing here may stand there."""

    def fill_from(self, other: Values) -> None:
        """Take from a further block of the same source what this one does not say, and its tags."""
        self.tags = self.tags + other.tags
        for name in self.__struct_fields__:
            if name != "is_cut" and not getattr(self, name):
                setattr(self, name, getattr(other, name))
        self.is_cut = self.is_cut or other.is_cut


NOTHING = Values()
"""Of a source that a file does not have, as most of a file's sources. Never written to."""
