"""Types of the values of environment variables."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode


def _split_on_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


def _bare_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"must start with http:// or https://, got {value!r}")
    return value.rstrip("/")


def _secret_url(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and not secret.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return secret


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"https?://[^/?#@\s]+", value):
        raise ValueError(
            f"an origin looks like https://app.example.com, without a path; got {value!r}"
        )
    return value


def _proxy(value: str) -> str:
    if value != "*":
        try:
            ipaddress.ip_network(value)
        except ValueError:
            raise ValueError(
                f"a proxy is an address, a network such as 10.0.0.0/8, or *; got {value!r}"
            ) from None
    return value


def _long_enough(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret) < 32:
        raise ValueError("must have at least 32 characters, so that it cannot be guessed")
    return secret


CommaSeparated: TypeAlias = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_on_commas)]
Origins: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_origin)], ...],
    NoDecode,
    BeforeValidator(_split_on_commas),
]
Proxies: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_proxy)], ...],
    NoDecode,
    BeforeValidator(_split_on_commas),
]
BareUrl: TypeAlias = Annotated[str, AfterValidator(_bare_url)]
SecretUrl: TypeAlias = Annotated[SecretStr | None, AfterValidator(_secret_url)]
LongSecret: TypeAlias = Annotated[SecretStr | None, AfterValidator(_long_enough)]
Deployment: TypeAlias = Annotated[str, Field(pattern="^[^/]+/[^/]+$")]
