"""What some tests share with those of flows: their servers, and a bucket of one's own."""

from __future__ import annotations

from tests.flows.conftest import bucket, wired

__all__ = ["bucket", "wired"]
