"""Metrics where something is missing; what they count is tested with a run, in tests/flows."""

from __future__ import annotations

import logging
import sys

import pytest

from media_enricher.metrics import Metrics, Stage

EXPORTER = "opentelemetry.exporter.otlp.proto.http.metric_exporter"


def test_without_the_extra_one_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    with caplog.at_level(logging.WARNING), Metrics().timed("photos", Stage.PLAN):
        pass
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set, and no metrics are sent" in caplog.text
    assert "pip install 'media-enricher[metrics]'" in caplog.text
