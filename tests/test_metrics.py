"""Metrics of what a run can hardly be made to do; the rest is tested with a run, in tests/flows."""

from __future__ import annotations

import logging
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from media_enricher.metrics import Metrics, Stage
from media_enricher.models import AssetStatus, ErrorCode, Outcome
from tests.snapshot.records import outcome

EXPORTER = "opentelemetry.exporter.otlp.proto.http.metric_exporter"


def test_without_the_extra_one_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    with caplog.at_level(logging.WARNING), Metrics().timed("photos", Stage.PLAN):
        pass
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set, and no metrics are sent" in caplog.text
    assert "pip install --editable '.[metrics]'" in caplog.text


def test_what_was_deleted_meanwhile_is_gone_and_no_failure() -> None:
    reader = InMemoryMetricReader()
    found = [outcome("here.jpg"), outcome("gone.jpg"), failed("lost.jpg"), failed("broken.jpg")]
    Metrics(MeterProvider([reader])).count("photos", found, gone={"gone.jpg", "lost.jpg"})
    assert counted(reader, "media_enricher.objects", "status") == {
        "enriched": 1,
        "failed": 1,
        "gone": 2,
    }
    assert counted(reader, "media_enricher.failures", "error_code") == {"not_found": 1}


def failed(path: str) -> Outcome:
    return outcome(path, status=AssetStatus.FAILED, error_code=ErrorCode.NOT_FOUND)


def counted(reader: InMemoryMetricReader, name: str, label: str) -> dict[object, float]:
    """The values of a counter by a label."""
    data = reader.get_metrics_data()
    assert data
    return {
        (point.attributes or {})[label]: point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint)
    }
