"""Filling the demo's bucket through the Storage API, some of it as the users themselves."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import asyncpg
import supabase
from pydantic import SecretStr

from media_enricher.settings import SupabaseSettings
from media_enricher.supabase.bucket import Bucket
from media_enricher.supabase.client import connect
from supabase_local import LocalStack, User

BUCKET = "dashboard-assets"
UPLOADS_AT_ONCE = 4

_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("image/avif", ".avif")  # Python 3.11 does not know these two
_TYPES.add_type("image/webp", ".webp")


async def allow_uploads(database_url: str) -> None:
    """Let signed-in users work in their tenant's folder of the bucket."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute((files(__package__) / "policies.sql").read_text())
    finally:
        await connection.close()


def fill(stack: LocalStack, objects: Mapping[str, Path]) -> dict[str, int]:
    """Make the bucket and upload every file: a quarter by ada, a quarter by ben, the rest by us.

    Args:
        stack: with the migrations and `allow_uploads` applied.
        objects: the file of each object, by its name. A user's uploads go to the folder of their
            tenant, so their names get that in front.

    Returns:
        How many objects each uploaded, by email address; ours under `service key`.

    Raises:
        SupabaseError: Storage refuses ours.
        storage3.exceptions.StorageApiError: Storage refuses a user's.
    """
    names = list(objects)
    shares = {stack.users.ada: names[0::4], stack.users.ben: names[1::4]}
    ours = names[2::4] + names[3::4]

    bucket = Bucket(connect(settings_of(stack)), BUCKET)
    bucket.create_private()
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        for _ in pool.map(
            lambda name: bucket.upload(name, objects[name].read_bytes(), content_type(name)), ours
        ):
            pass
    for user, share in shares.items():
        theirs = sign_in(stack, user).storage.from_(BUCKET)
        for name in share:
            theirs.upload(
                f"{user.tenant_id}/{name}", objects[name], {"content-type": content_type(name)}
            )
    return {user.email: len(share) for user, share in shares.items()} | {"service key": len(ours)}


def sign_in(stack: LocalStack, user: User | None) -> supabase.Client:
    """A client as a browser has it: with the publishable key, and signed in unless user is None."""
    client = supabase.create_client(stack.url, stack.anon_key)
    if user is not None:
        client.auth.sign_in_with_password({"email": user.email, "password": user.password})
    return client


def settings_of(stack: LocalStack) -> SupabaseSettings:
    """The settings that reach the stack with its service key, whatever the environment says."""
    return SupabaseSettings(url=stack.url, service_key=SecretStr(stack.service_key))


def content_type(name: str) -> str:
    """What a browser would declare for a file of that name."""
    return _TYPES.guess_type(name)[0] or "application/octet-stream"
