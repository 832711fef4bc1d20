"""Which names Storage allows for objects and buckets."""

from __future__ import annotations

import re

from supabase_local.storage import errors

MAX_KEY_BYTES = 1024
_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+", re.ASCII)
_BUCKET = re.compile(r"[A-Za-z0-9_!.*'() &$=@;:+,?-]{1,63}", re.ASCII)


def require_valid_key(key: str) -> str:
    """The key itself, if it is one.

    Raises:
        StorageError: InvalidKey; empty, too long, or with a character outside the allowed set.
    """
    if len(key) > MAX_KEY_BYTES or not _KEY.fullmatch(key):
        raise errors.invalid_key(key)
    return key


def require_valid_bucket_name(name: str) -> str:
    """The name itself, if it is one.

    Raises:
        StorageError: InvalidBucketName.
    """
    if not _BUCKET.fullmatch(name) or name != name.strip():
        raise errors.invalid_bucket_name()
    return name
