"""`media-enricher up` runs the Edge Function where a setting says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from media_enricher.cli.up import _start
from media_enricher.dev.edge_function import SECRET, edge_function_secrets
from media_enricher.dev.environment import DevEnvironment
from media_enricher.settings import gateway_settings


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False), ("", False)])
def test_the_setting_decides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, expected: bool
) -> None:
    started: dict[str, Any] = {}

    def start(folder: Path, **options: Any) -> DevEnvironment:
        started.update(options)
        return DevEnvironment(folder)

    monkeypatch.setattr(DevEnvironment, "start", start)
    monkeypatch.setenv("MEDIA_ENRICHER_EDGE_FUNCTION", value)
    gateway_settings.cache_clear()
    try:
        _start(tmp_path, None, {}, None, None, empty=True)
    finally:
        gateway_settings.cache_clear()
    assert started["edge_function"] is expected


def test_its_secrets_are_those_of_the_gateway_or_made_up() -> None:
    made_up = edge_function_secrets("http://127.0.0.1:8090", {})
    assert made_up["MEDIA_ENRICHER_URL"] == "http://127.0.0.1:8090"
    assert made_up["MEDIA_ENRICHER_CORS_ORIGINS"] == "*"
    assert len(made_up[SECRET]) >= 32
    assert made_up[SECRET] != edge_function_secrets("", {})[SECRET]

    given = {SECRET: "s" * 32, "MEDIA_ENRICHER_CORS_ORIGINS": "https://app.example.com"}
    assert edge_function_secrets("", given).items() >= given.items()
