"""Metrics of what runs do, as counters of OpenTelemetry, sent by OTLP where that is set up.

Runs are short-lived processes that nobody could scrape, so they push: with the extra `metrics`
installed and `OTEL_EXPORTER_OTLP_ENDPOINT` set, all of OpenTelemetry's own variables apply.
Without, the counters of its API do nothing, and cost next to nothing.

Everything is labelled by bucket and never by run or path: a graph must not grow a line per run.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

from opentelemetry import metrics as telemetry
from opentelemetry.metrics import MeterProvider

from media_enricher.models import AssetStatus, Outcome

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
EXPORT_SECONDS = 3.0
"""The longest that a run waits at its end for a collector that is away, unless told otherwise."""
_END = object()
_Item = TypeVar("_Item")
_logger = logging.getLogger(__name__)


class Stage(StrEnum):
    """What time is spent on. Downloads and probes overlap, so theirs may exceed the clock's."""

    PLAN = "plan"
    DOWNLOAD = "download"
    PROBE = "probe"
    WRITE = "write"


class Metrics:
    """The counters of one process."""

    def __init__(self, provider: MeterProvider | None = None) -> None:
        """Count into a provider.

        Args:
            provider: by default the one that the environment sets up, or else one that does
                nothing.
        """
        self._provider = provider or _provider() or telemetry.NoOpMeterProvider()
        meter = self._provider.get_meter("media_enricher")
        self._objects = meter.create_counter(
            "media_enricher.objects", "{object}", "Objects done, by how they ended."
        )
        self._failures = meter.create_counter(
            "media_enricher.failures", "{object}", "Objects that failed, by error code."
        )
        self._bytes = meter.create_counter("media_enricher.read", "By", "Bytes read from Storage.")
        self._seconds = meter.create_counter(
            "media_enricher.stage.time", "s", "Seconds spent, by stage."
        )

    def count(
        self, bucket: str, outcomes: Iterable[Outcome], *, gone: Collection[str] = ()
    ) -> None:
        """Count outcomes that are now durable; `gone` are the paths that were deleted meanwhile."""
        statuses: Counter[str] = Counter()
        failures: Counter[str] = Counter()
        bytes_read = 0
        download_seconds = probe_seconds = 0.0
        for outcome in outcomes:
            asset = outcome.asset
            bytes_read += outcome.bytes_read
            download_seconds += outcome.download_seconds
            probe_seconds += outcome.probe_seconds
            statuses["gone" if asset.path in gone else asset.status] += 1
            if asset.status is AssetStatus.FAILED and asset.path not in gone:
                failures[asset.error_code or "unknown"] += 1
        for status, count in statuses.items():
            self._objects.add(count, {"bucket": bucket, "status": str(status)})
        for code, count in failures.items():
            self._failures.add(count, {"bucket": bucket, "error_code": str(code)})
        self._bytes.add(bytes_read, {"bucket": bucket})
        self._spent(bucket, Stage.DOWNLOAD, download_seconds)
        self._spent(bucket, Stage.PROBE, probe_seconds)

    @contextmanager
    def timed(self, bucket: str, stage: Stage) -> Iterator[None]:
        """Count the seconds of a block for a stage, however it ends."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._spent(bucket, stage, time.monotonic() - started)

    def timed_each(self, bucket: str, stage: Stage, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield items, and count the seconds that each took to come."""
        waiting = iter(items)
        while True:
            with self.timed(bucket, stage):
                item = next(waiting, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]

    def _spent(self, bucket: str, stage: Stage, seconds: float) -> None:
        self._seconds.add(seconds, {"bucket": bucket, "stage": str(stage)})


def _provider() -> MeterProvider | None:
    """What sends the counters every minute and when the process ends; None if it is not set up."""
    named = [name for name in _ENDPOINTS if os.environ.get(name)]
    if not named:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
            OTLPMetricExporter,
        )
        from opentelemetry.sdk.metrics import MeterProvider as Sending  # noqa: PLC0415
        from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
            PeriodicExportingMetricReader,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    except ImportError as missing:
        _logger.warning(
            "%s is set, and no metrics are sent, for %s is not installed. "
            "In the checkout: pip install --editable '.[metrics]'",
            named[0],
            missing.name,
        )
        return None
    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "media-enricher"}))
    timeout = None if any(os.environ.get(name) for name in _TIMEOUTS) else EXPORT_SECONDS
    exporter = OTLPMetricExporter(timeout=timeout)
    return Sending([PeriodicExportingMetricReader(exporter)], resource)
