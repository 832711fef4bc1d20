"""Addresses in Supabase Storage, quoted once and by us.

storage3 mends paths (it collapses `//`), and a key is whatever was uploaded: spaces, quotes, `+`,
`?`, `&`, a leading or doubled slash. So an object's URL is made here, and handed to the HTTP
clients as already encoded.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import quote

Route = Literal["authenticated", "info/authenticated", "public", "sign", "upload"]
"""How an object is reached: read with a key, without one, with a token in the URL; or written."""

_is_plain = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
_DOT_SEGMENTS = {".": "%2E", "..": "%2E%2E"}


def object_url(base: str, bucket: str, path: str, *, route: Route = "authenticated") -> str:
    """The percent-encoded URL of one object; pass it on as encoded, never to be quoted again.

    `authenticated` is the right route to read with a key: there a bad key is named as such, where
    the plain route says 'Bucket not found'.

    >>> object_url("http://localhost:54321", "photos", "a//b c+d?.jpg")
    'http://localhost:54321/storage/v1/object/authenticated/photos/a//b%20c%2Bd%3F.jpg'
    """
    middle = "" if route == "upload" else f"{route}/"
    return f"{base}/storage/v1/object/{middle}{quote(bucket, safe='')}/{quote_path(path)}"


def buckets_url(base: str) -> str:
    """The URL of all buckets' records."""
    return f"{base}/storage/v1/bucket"


def bucket_url(base: str, bucket: str) -> str:
    """The URL of a bucket's own record."""
    return f"{buckets_url(base)}/{quote(bucket, safe='')}"


def listing_url(base: str, bucket: str) -> str:
    """The URL that lists a bucket's objects by whole names, page by page."""
    return f"{base}/storage/v1/object/list-v2/{quote(bucket, safe='')}"


def folder_url(base: str, bucket: str) -> str:
    """The URL that lists one level of a bucket, in any order."""
    return f"{base}/storage/v1/object/list/{quote(bucket, safe='')}"


def objects_url(base: str, bucket: str) -> str:
    """The URL of a bucket's objects, many at once."""
    return f"{base}/storage/v1/object/{quote(bucket, safe='')}"


def moving_url(base: str) -> str:
    """The URL that renames objects of any bucket."""
    return f"{base}/storage/v1/object/move"


def signing_url(base: str, bucket: str) -> str:
    """The URL that signs URLs of a bucket's objects, many at once."""
    return f"{base}/storage/v1/object/sign/{quote(bucket, safe='')}"


def object_signing_url(base: str, bucket: str, path: str) -> str:
    """The URL that signs a URL of one object, also of a smaller picture of it."""
    return f"{signing_url(base, bucket)}/{quote_path(path)}"


def rendition_url(base: str, bucket: str, path: str) -> str:
    """The URL of a smaller picture of an object, to which a signed token belongs."""
    return f"{base}/storage/v1/render/image/sign/{quote(bucket, safe='')}/{quote_path(path)}"


def quote_path(path: str) -> str:
    """An object's name as the path of a URL: only `/` and unreserved characters stand as they are.

    A segment `.` or `..` is encoded too, or an HTTP client would resolve it away.
    """
    if _is_plain(path) and not path.startswith(".") and "/." not in path:
        return path  # as most are; the rest takes ten times as long
    return "/".join(
        _DOT_SEGMENTS.get(segment) or quote(segment, safe="") for segment in path.split("/")
    )
