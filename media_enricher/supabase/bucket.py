"""One bucket of Supabase Storage: its own record, and small objects read and written whole.

Not for the media that is processed: `downloads` reads that, many objects at a time and in ranges.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import httpx
import msgspec
from supabase import Client

from media_enricher.models import ErrorCode
from media_enricher.supabase.errors import SupabaseError
from media_enricher.supabase.retrying import call
from media_enricher.supabase.urls import (
    bucket_url,
    buckets_url,
    copying_url,
    folder_url,
    listing_url,
    moving_url,
    object_signing_url,
    object_url,
    objects_url,
    rendition_url,
    signing_url,
)

_LIST_ROWS = 1000
_LONGEST_HEADER = 8000
"""In characters. Servers and proxies refuse requests whose headers take 16 KiB, some at 8."""


def buckets(client: Client) -> list[str]:
    """The names of all buckets, in order.

    Raises:
        SupabaseError: Storage refuses or fails the request, after retries.
    """
    storage = _Storage(client)
    return sorted(each["id"] for each in storage.request("GET", buckets_url(storage.base)).json())


class _Storage:
    """Requests to Storage, by whole URLs."""

    def __init__(self, client: Client) -> None:
        if client.options.httpx_client is None:
            raise TypeError("Storage needs a client from supabase.client.connect")
        self.base = str(client.supabase_url).rstrip("/")
        self._headers = dict(client.options.headers)
        self._http: httpx.Client = client.options.httpx_client

    def request(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, **content: Any
    ) -> httpx.Response:
        def send() -> httpx.Response:
            return self._http.request(
                method, httpx.URL(url), headers=self._headers | (headers or {}), **content
            )

        return call(f"{method} {url.removeprefix(self.base)}", send)


class Bucket:
    """A Storage bucket by its id. Every method is safe to repeat.

    All methods raise SupabaseError if Storage refuses or fails a request, after retries.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._storage = _Storage(client)
        self._base = self._storage.base

    def exists(self) -> bool:
        """Whether there is such a bucket.

        It is looked up by name, because Storage lists a missing bucket as an empty one, even for an
        unknown key.

        Raises:
            SupabaseError: for example, the key is rejected (`forbidden`).
        """
        return self._record() is not None

    def is_public(self) -> bool | None:
        """Whether anyone may read its objects without a key; None for a missing bucket."""
        record = self._record()
        return None if record is None else bool(record.get("public"))

    def create_private(self) -> None:
        """Create the bucket as a private one. An existing bucket stays as it is."""
        try:
            self._storage.request(
                "POST",
                buckets_url(self._base),
                json={"id": self.name, "name": self.name, "public": False},
            )
        except SupabaseError:
            if not self.exists():
                raise

    def upload(self, path: str, data: bytes, content_type: str) -> None:
        """Write an object; overwrite an existing one."""
        self._storage.request(
            "POST",
            object_url(self._base, self.name, path, route="upload"),
            content=data,
            headers={"Content-Type": content_type, "x-upsert": "true"},
        )

    def download(self, path: str) -> bytes:
        """The bytes of an object.

        Raises:
            SupabaseError: for example, there is no such object (`not_found`).
        """
        return self._storage.request("GET", object_url(self._base, self.name, path)).content

    def move(self, path: str, new_path: str) -> bool:
        """Rename an object that is written only once. If the new name exists, that object stays.

        Returns:
            Whether this call renamed it; may be False if a response was lost.
        """
        try:
            self._storage.request(
                "POST",
                moving_url(self._base),
                json={"bucketId": self.name, "sourceKey": path, "destinationKey": new_path},
            )
        except SupabaseError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return False
            if error.code is not ErrorCode.REJECTED or new_path not in self.list(new_path):
                raise
            self.delete([path])  # a repeated upload that arrived after the rename
            return False
        return True

    def copy_onto_itself(
        self,
        path: str,
        content_type: str,
        *,
        cache_control: str | None,
        user_metadata: dict[str, Any] | None,
    ) -> str | None:
        """Let Storage serve an object as another content type, with the same bytes.

        Its other columns change with that: the version, the owner (to none, or not, by the version
        of Storage), and `user_metadata`, which is only what is given here, as far as it fits into a
        header. The caller puts these right.

        Args:
            path: the object.
            content_type: the type to declare.
            cache_control: as it is; None if the object has none.
            user_metadata: as it is.

        Returns:
            The new version; None where Storage does not say it.
        """
        metadata = {"mimetype": content_type}
        if cache_control is not None:
            metadata["cacheControl"] = cache_control
        headers = {"x-upsert": "true"}
        encoded = base64.b64encode(msgspec.json.encode(user_metadata)).decode()
        if user_metadata is not None and len(encoded) <= _LONGEST_HEADER:
            headers["x-metadata"] = encoded
        answer = self._storage.request(
            "POST",
            copying_url(self._base),
            headers=headers,
            json={
                "bucketId": self.name,
                "sourceKey": path,
                "destinationKey": path,
                "copyMetadata": False,
                "metadata": metadata,
            },
        )
        version: str | None = answer.json().get("version")
        return version

    def served_type(self, path: str) -> str | None:
        """The content type that a browser is told: one byte is read, as HEAD may tell another."""
        answer = self._storage.request(
            "GET", object_url(self._base, self.name, path), headers={"Range": "bytes=0-0"}
        )
        served: str | None = answer.headers.get("content-type")
        return served

    def allowed_types(self) -> list[str]:
        """What may be uploaded into the bucket: content types and `image/*`; empty for anything."""
        record = self._record()
        return (record and record.get("allowed_mime_types")) or []

    def delete(self, paths: Sequence[str]) -> None:
        """Delete at most 1,000 objects; missing ones are no error."""
        if paths:
            self._storage.request(
                "DELETE", objects_url(self._base, self.name), json={"prefixes": list(paths)}
            )

    def sign(self, paths: Sequence[str], seconds: int) -> dict[str, str]:
        """URLs with which anyone can read these objects for a while.

        Returns:
            The absolute URL of each path; paths without an object are left out.
        """
        if not paths:
            return {}
        answer = self._storage.request(
            "POST",
            signing_url(self._base, self.name),
            json={"expiresIn": seconds, "paths": list(paths)},
        )
        return {each["path"]: self._signed(each) for each in answer.json() if each["signedURL"]}

    def _signed(self, entry: dict[str, Any]) -> str:
        # Storage does not encode the path in its response, so build the URL here.
        _, _, token = entry["signedURL"].rpartition("?token=")
        url = object_url(self._base, self.name, entry["path"], route="sign")
        return f"{url}?token={token}"

    def sign_rendition(self, path: str, seconds: int, *, side: int) -> str | None:
        """A URL with which anyone can see a smaller picture of an object for a while.

        Storage makes the picture when it is asked for (image transformation, which hosted projects
        have from the Pro plan on).

        Args:
            path: of a picture.
            seconds: how long the URL is valid.
            side: the longer side of the smaller picture, in pixels, at most.

        Returns:
            None if the project has no image transformation: Storage then signs the whole object.
        """
        answer = self._storage.request(
            "POST",
            object_signing_url(self._base, self.name, path),
            json={
                "expiresIn": seconds,
                "transform": {"width": side, "height": side, "resize": "contain"},
            },
        )
        address, _, token = answer.json()["signedURL"].rpartition("?token=")
        if not address.startswith("/render/image/sign/"):
            return None
        return f"{rendition_url(self._base, self.name, path)}?token={token}"

    def fetch_signed(self, url: str) -> str:
        """Download what a signed URL leads to, and return its content type."""
        return str(self._storage.request("GET", url).headers.get("content-type", ""))

    def oldest(self, folder: str, limit: int) -> dict[str, datetime]:
        """The oldest objects of one folder, without its subfolders.

        Args:
            folder: the path of the folder, without a slash at its end; empty for the whole bucket's
                top level.
            limit: the maximum number of objects, up to 1,000.

        Returns:
            When each was written, by path, the oldest first.
        """
        answer = self._storage.request(
            "POST",
            folder_url(self._base, self.name),
            json={
                "prefix": folder,
                "limit": limit,
                # An overwritten object keeps the time at which it was created.
                "sortBy": {"column": "updated_at", "order": "asc"},
            },
        )
        start = f"{folder}/" if folder else ""
        return {
            f"{start}{entry['name']}": datetime.fromisoformat(entry["updated_at"])
            for entry in answer.json()
            if entry["id"] is not None  # a folder has none
        }

    def list(self, prefix: str = "") -> list[str]:
        """The paths of the objects whose path starts with `prefix`, at any depth, in order."""
        return sorted(self._listed(prefix))

    def _listed(self, prefix: str) -> Iterator[str]:
        url = listing_url(self._base, self.name)
        request: dict[str, Any] = {
            "prefix": prefix,
            "limit": _LIST_ROWS,
            "with_delimiter": False,
        }
        while True:
            answer = self._storage.request("POST", url, json=request).json()
            for entry in answer["objects"]:
                yield entry.get("key") or entry["name"]
            if not answer.get("hasNext"):
                return
            request["cursor"] = answer["nextCursor"]

    def _record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = self._storage.request(
                "GET", bucket_url(self._base, self.name)
            ).json()
        except SupabaseError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise
        return record
