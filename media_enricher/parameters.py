"""What the parameters of runs may be, for Prefect's form and the gateway alike."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

_NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"

BucketName = Annotated[
    str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\x00-\x1f\x7f]+$")
]
Path = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=_NO_CONTROL)]
Prefix = Annotated[str, StringConstraints(max_length=1024, pattern=_NO_CONTROL)]
Limit = Annotated[int, Field(ge=1, le=2**31 - 1)]
MaxBytes = Annotated[int, Field(ge=1, le=2**63 - 1)]
Shards = Annotated[int, Field(ge=1, le=100)]
