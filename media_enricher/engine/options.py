"""How the engine works: all that a lane is told, and nothing it would have to look up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from media_enricher.probe import ProbeOptions

if TYPE_CHECKING:  # pydantic is not for lanes: it costs them a quarter of a second to start
    from media_enricher.settings import Settings, SupabaseSettings

MIB = 1024 * 1024
_LEAST_BYTES_A_SECOND = 10 * MIB
"""What is slowest to decode is decoded several times as fast, on a slow machine too."""


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How objects are downloaded and decoded. Its repr never shows the key.

    Attributes:
        supabase_url: the project's URL, without a slash at its end.
        service_key: sent as `apikey` and bearer token.
        lanes: processes that download, each with a decoder; at least one.
        downloads_per_lane: the most requests that a lane has under way.
        memory_bytes: bytes of objects that all lanes together hold between download and outcome.
        spool_bytes: an object above this size goes through a temporary file, not through memory.
        silence_seconds: the longest wait for a connection, or for the next bytes of an answer.
        probe_seconds: a probe that takes longer than that counts as one that crashed, however
            little of it the machine has let it work.
        probe_cpu_seconds: the same for its processor time, to which is added what the bytes of a
            large object take.
        overload_tries: requests for one object that Storage may answer with "too much" (429, 503,
            544) before the object counts as failed.
        probe: what the probe is told.
    """

    supabase_url: str
    service_key: str
    lanes: int
    probe: ProbeOptions
    downloads_per_lane: int = 32
    memory_bytes: int = 256 * MIB
    spool_bytes: int = 32 * MIB
    silence_seconds: float = 30.0
    probe_seconds: float = 60.0
    probe_cpu_seconds: float = 4.0
    overload_tries: int = 5

    @classmethod
    def from_settings(cls, settings: Settings, supabase: SupabaseSettings) -> Self:
        """The options that the environment's settings stand for."""
        return cls(
            supabase_url=supabase.url,
            service_key=supabase.service_key.get_secret_value(),
            lanes=settings.lanes,
            downloads_per_lane=settings.downloads_per_lane,
            memory_bytes=settings.memory_mb * MIB,
            silence_seconds=settings.request_timeout_seconds,
            probe=ProbeOptions(
                max_pixels=settings.max_pixels,
                location=settings.location,
                exif_tags=settings.exif_tags,
            ),
        )

    @property
    def lane_memory_bytes(self) -> int:
        """The share of `memory_bytes` that one lane has."""
        return self.memory_bytes // self.lanes

    def cpu_seconds(self, size_bytes: int) -> float:
        """The most processor time that probing so many bytes may take."""
        return self.probe_cpu_seconds + size_bytes / _LEAST_BYTES_A_SECOND

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Everything but the key."""
        return [
            (name, "***" if name == "service_key" else getattr(self, name))
            for name in self.__struct_fields__
        ]

    def __repr__(self) -> str:
        """Everything but the key."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"EngineOptions({shown})"
