"""The storage of the task cache: it returns only signed records that are outcomes of a batch.

Prefect trusts a stored record: it unpickles a pickle, which can run any code. Write access to a
shared folder must not be enough to run code here. So records in a folder, or in a block of another
type, are signed as `SupabaseBucket` signs its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from pathlib import Path
from typing import Any, Self, cast

import msgspec
from prefect import get_run_logger
from prefect._internal.compatibility.async_dispatch import async_dispatch
from prefect.blocks.core import Block
from prefect.exceptions import MissingContextError
from prefect.filesystems import WritableFileSystem
from prefect.logging import get_logger
from pydantic import PrivateAttr

from media_enricher.batching import Looked
from media_enricher.blocks import RefusedRecordError, SupabaseBucket
from media_enricher.blocks.records import seal, signing_key, unseal
from media_enricher.settings import supabase_settings

_PURPOSE = "task cache"
"""The signed place: a record is valid wherever the folder is mounted, as its key identifies it."""


class _Record(msgspec.Struct):
    result: str


_record = msgspec.json.Decoder(_Record)
_result = msgspec.json.Decoder(str)
_looked = msgspec.json.Decoder(Looked)


class SignedResults(WritableFileSystem):
    """Stores the results of `enrich`, and checks them on reading. Never saved as a block.

    A record that cannot be used is a cache miss: Prefect treats an error of the first read as one.
    """

    _block_type_name = "Media Enricher Signed Results"

    folder: Path | None = None
    block: str | None = None
    _loaded: WritableFileSystem | None = PrivateAttr(default=None)
    _found: dict[str, bytes] = PrivateAttr(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to other processes without the block, which holds keys."""
        return _remade, (self.folder, self.block)

    def __deepcopy__(self, _memo: dict[int, Any] | None = None) -> Self:
        """The same: Prefect copies what goes to other processes, and a block holds locks."""
        return self

    def use(self, block: WritableFileSystem) -> None:
        """Take a block that is loaded already."""
        self._loaded = block

    def _resolve_path(self, _path: str) -> None:
        """Say to Prefect that keys are no paths of this machine."""

    async def aread_path(self, path: str) -> bytes:
        """As `read_path`, beside the event loop."""
        return await asyncio.to_thread(self._read, path)

    @async_dispatch(aread_path)
    def read_path(self, path: str) -> bytes:  # type: ignore[override]  # as Prefect's own do
        """The record under a key, found good.

        Raises:
            Exception: there is none, or none that may be used; the log says so of the latter.
        """
        return self._read(path)

    async def awrite_path(self, path: str, content: bytes) -> None:
        """As `write_path`, beside the event loop."""
        await asyncio.to_thread(self._write, path, content)

    @async_dispatch(awrite_path)
    def write_path(self, path: str, content: bytes) -> None:  # type: ignore[override]
        """Sign a record and keep it. A place that cannot be written costs a warning."""
        self._write(path, content)

    def _read(self, path: str) -> bytes:
        # Prefect asks whether there is a record, and then for it. What was found good in between
        # may have been replaced or swept, which would fail the run.
        if (found := self._found.pop(path, None)) is not None:
            return found
        try:
            record = self._checked(path, self._stored(path))
        except FileNotFoundError:
            raise
        except (OSError, RefusedRecordError, msgspec.DecodeError) as error:
            _logger().warning("cannot use the stored result %s: %s", path, error)
            raise
        self._found[path] = record
        return record

    def _stored(self, path: str) -> bytes:
        if self.folder is not None:
            return (self.folder / _bare(path)).read_bytes()
        return cast("bytes", cast("Any", self._inner()).read_path(path, _sync=True))

    def _checked(self, path: str, stored: bytes) -> bytes:
        sealed_by_itself = self.folder is None and isinstance(self._inner(), SupabaseBucket)
        record = stored if sealed_by_itself else unseal(stored, f"{_PURPOSE}/{path}", _key())
        _looked.decode(_result.decode(_record.decode(record).result))
        return record

    def _write(self, path: str, content: bytes) -> None:
        self._found.pop(path, None)
        if self.folder is None:
            inner = self._inner()
            if not isinstance(inner, SupabaseBucket):
                content = seal(content, f"{_PURPOSE}/{path}", _key())
            cast("Any", inner).write_path(path, content, _sync=True)
            return
        sealed = seal(content, f"{_PURPOSE}/{path}", _key())
        try:
            _replace(self.folder / _bare(path), sealed)
        except OSError as error:
            _logger().warning("cannot keep the result %s in %s: %s", path, self.folder, error)

    def _inner(self) -> WritableFileSystem:
        if self._loaded is None:
            if self.block is None:
                raise ValueError("results need a folder or a block")
            self._loaded = load_block(self.block)
        return self._loaded


def load_block(name: str) -> WritableFileSystem:
    """A block by its `type/name`."""
    kind, _, document = name.partition("/")
    if kind == SupabaseBucket.get_block_type_slug():
        return cast("SupabaseBucket", cast("Any", SupabaseBucket).load(document, _sync=True))
    # Prefect looks for the type in each package it knows of, and imports them all.
    return cast("WritableFileSystem", cast("Any", Block).load(name, _sync=True))


def _remade(folder: Path | None, block: str | None) -> SignedResults:
    return SignedResults(folder=folder, block=block)


def _key() -> bytes:
    return signing_key(supabase_settings().service_key.get_secret_value())


def _bare(path: str) -> str:
    if Path(path).name != path or path in {"", ".."}:
        raise ValueError(f"the key of a result is a file's name: {path!r}")
    return path


def _replace(file: Path, content: bytes) -> None:
    """Write a file whole, for its owner's eyes alone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as output:
            output.write(content)
        Path(partial).replace(file)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The log of the run, or of Prefect where there is none."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("media_enricher")
