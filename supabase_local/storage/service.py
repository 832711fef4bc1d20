"""The parts of the Storage server, gathered for its handlers."""

from __future__ import annotations

import dataclasses

from supabase_local.storage.blobs import BlobStore
from supabase_local.storage.database import Database
from supabase_local.storage.signing import UrlSigner
from supabase_local.storage.writes import ObjectWriter
from supabase_local.tokens import TokenVerifier


@dataclasses.dataclass(frozen=True)
class Storage:
    """What a handler works with."""

    database: Database
    blobs: BlobStore
    writer: ObjectWriter
    signer: UrlSigner
    verifier: TokenVerifier
