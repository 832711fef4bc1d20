"""Prefect blocks for the keys of a Supabase project, and for task results.

Prefect imports this package whenever it looks up a block type, so it must be quick to import: the
Supabase client is imported when a block is first used.
"""

from media_enricher.blocks.bucket import ResultBucketError, SupabaseBucket
from media_enricher.blocks.credentials import SupabaseCredentials
from media_enricher.blocks.records import RefusedRecordError

__all__ = ["RefusedRecordError", "ResultBucketError", "SupabaseBucket", "SupabaseCredentials"]
