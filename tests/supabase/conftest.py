"""Clients of a migrated stack: the pipeline's, and those of people who sign in to a frontend."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from supabase import Client, create_client

from media_enricher.settings import supabase_settings
from media_enricher.supabase.assets import AssetTable
from media_enricher.supabase.client import connect
from media_enricher.supabase.requests import RunRequests
from media_enricher.supabase.runs import RunTable
from supabase_local import LocalStack


@pytest.fixture
def client(migrated_stack: LocalStack, supabase_environment: dict[str, str]) -> Client:
    """As the pipeline has it: ours, with the service key."""
    return connect(supabase_settings())


@pytest.fixture
def assets(client: Client) -> AssetTable:
    return AssetTable(client)


@pytest.fixture
def runs(client: Client) -> RunTable:
    return RunTable(client)


@pytest.fixture
def run_requests(client: Client) -> RunRequests:
    return RunRequests(client)


@pytest.fixture
def sign_in(migrated_stack: LocalStack) -> Callable[[str | None], Client]:
    """A frontend's client, as one of the stack's users by name; None is nobody."""

    def as_user(name: str | None) -> Client:
        frontend = create_client(migrated_stack.url, migrated_stack.anon_key)
        if name is not None:
            user = getattr(migrated_stack.users, name)
            frontend.auth.sign_in_with_password({"email": user.email, "password": user.password})
        return frontend

    return as_user
