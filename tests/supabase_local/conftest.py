"""Clients of the stack, as users have them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from supabase import Client, create_client

from supabase_local import LocalStack, User


@pytest.fixture
def service(stack: LocalStack) -> Client:
    """supabase-py with the service key."""
    return create_client(stack.url, stack.service_key)


@pytest.fixture
def signed_in(stack: LocalStack) -> Callable[[User], Client]:
    """supabase-py with the publishable key, signed in as a user."""

    def sign_in(user: User) -> Client:
        client = create_client(stack.url, stack.anon_key)
        client.auth.sign_in_with_password({"email": user.email, "password": user.password})
        return client

    return sign_in
