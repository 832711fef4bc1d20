"""How the engine works: all that a worker needs to know, so that it need not look anything up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from media_enricher.probe import ProbeOptions

if TYPE_CHECKING:  # workers do without pydantic: it takes a quarter of a second to import
    from media_enricher.settings import Settings, SupabaseSettings

MIB = 1024 * 1024
_LEAST_BYTES_A_SECOND = 10 * MIB
"""Even the slowest format is decoded several times as fast, on a slow machine too."""


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How objects are downloaded and decoded. Its repr never shows the key.

    Attributes:
        supabase_url: the project's URL, without a slash at its end.
        service_key: sent as `apikey` and bearer token.
        workers: processes that download, each with a decoder; at least one.
        downloads_per_worker: the most downloads that a worker has open at once; by itself, it
            finds how many the server needs.
        memory_bytes: bytes of objects that all workers together hold between download and outcome.
        spool_bytes: an object above this size goes through a temporary file, not through memory.
        max_whole_bytes: of a larger object only parts are read, in full depth too.
        max_bytes_per_second: the limit for the downloads of all workers together; None for none.
        silence_seconds: the longest wait for a connection, or for the next bytes of an answer.
        probe_seconds: a probe that takes longer counts as crashed, however little processor time
            it had.
        probe_cpu_seconds: the same for its processor time. Each byte of the object adds to it.
        overload_tries: requests for one object that Storage may answer with "too much" (429, 503,
            544) before the object counts as failed.
        probe: how to probe.
    """

    supabase_url: str
    service_key: str
    workers: int
    probe: ProbeOptions
    downloads_per_worker: int = 512
    memory_bytes: int = 256 * MIB
    spool_bytes: int = 32 * MIB
    max_whole_bytes: int = 256 * MIB
    max_bytes_per_second: float | None = None
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
            workers=settings.engine_workers,
            downloads_per_worker=settings.downloads_per_engine_worker,
            memory_bytes=settings.memory_mb * MIB,
            max_whole_bytes=settings.max_whole_bytes,
            max_bytes_per_second=settings.max_bytes_per_second,
            silence_seconds=settings.request_timeout_seconds,
            probe=ProbeOptions(
                max_pixels=settings.max_pixels,
                location=settings.location,
                text_excerpt=settings.text_excerpt,
                exif_tags=settings.exif_tags,
            ),
        )

    @property
    def worker_memory_bytes(self) -> int:
        """The share of `memory_bytes` that one worker has."""
        return self.memory_bytes // self.workers

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
