"""Where exiftool says something else than the probe, and the probe is right: when, and why."""

from __future__ import annotations

from tests.trust.comparison import Rule

RULES: tuple[Rule, ...] = ()
