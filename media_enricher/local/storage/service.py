"""The parts of the Storage server, gathered for its handlers."""

from __future__ import annotations

import dataclasses

from media_enricher.local.storage.blobs import BlobStore
from media_enricher.local.storage.database import Database
from media_enricher.local.storage.signing import UrlSigner
from media_enricher.local.storage.writes import ObjectWriter
from media_enricher.local.tokens import TokenVerifier


@dataclasses.dataclass(frozen=True)
class Storage:
    """What a handler works with."""

    database: Database
    blobs: BlobStore
    writer: ObjectWriter
    signer: UrlSigner
    verifier: TokenVerifier
