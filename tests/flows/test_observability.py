"""What a run tells of itself while it goes on: log lines for people and machines, and metrics."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from tests.flows.conftest import FilledBucket, FlowProcess, photo
from tests.prefect_here import prefect_environment
from tests.waiting import PROMPT_SECONDS

PATHS = ["a.jpg", "b.jpg", "folder/c.jpg"]


class Collector:
    """An OTLP receiver: the last value of each counter, by its labels."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.services: set[str] = set()
        self._values: dict[str, dict[tuple[tuple[str, str], ...], float]] = defaultdict(dict)

    def take(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.services.add(about["service.name"])
            for metric in (each for scope in resource.scope_metrics for each in scope.metrics):
                for point in metric.sum.data_points:
                    labels = {each.key: each.value.string_value for each in point.attributes}
                    self._values[metric.name][tuple(sorted(labels.items()))] = (
                        point.as_double if point.HasField("as_double") else point.as_int
                    )

    def by(self, label: str, metric: str, bucket: str) -> dict[str, float]:
        """The values of a metric for a bucket by another label."""
        return {
            dict(labels)[label]: value
            for labels, value in self._values[metric].items()
            if dict(labels)["bucket"] == bucket
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiving.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiving = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield receiving
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def filled(bucket: FilledBucket) -> FilledBucket:
    """Three photographs, and a file that is none."""
    for number, path in enumerate(PATHS):
        bucket.put(path, photo(number))
    bucket.put("broken.jpg", photo(9)[:200])
    bucket.downloads()
    return bucket


def test_metrics_count_what_was_done(
    filled: FilledBucket, supabase_environment: dict[str, str], collector: Collector
) -> None:
    size = sum(row["size"] for row in sizes(filled))
    FlowProcess(
        supabase_environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}, bucket=filled.name
    ).result()

    def values(label: str, metric: str) -> dict[str, float]:
        return collector.by(label, f"media_enricher.{metric}", filled.name)

    assert values("status", "objects") == {"enriched": 3, "failed": 1}
    assert values("error_code", "failures") == {"truncated": 1}
    assert values("bucket", "read") == {filled.name: size}
    spent = values("stage", "stage.time")
    assert spent.keys() == {"plan", "download", "probe", "write"}
    assert all(seconds > 0 for seconds in spent.values())
    assert collector.services == {"media-enricher"}


def test_a_collector_that_is_away_costs_a_run_nothing(
    filled: FilledBucket, supabase_environment: dict[str, str]
) -> None:
    away = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    code, said = FlowProcess(supabase_environment | away, bucket=filled.name).result()
    waited = datetime.now(UTC) - filled.latest_run()["finished_at"]
    assert (code, said["state"]) == (0, "COMPLETED")
    assert waited < timedelta(seconds=PROMPT_SECONDS), "it tries for 3 s, and not for a minute"
    assert len(filled.rows()) == 4


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_logs_have_a_line_a_page_and_one_an_object_where_that_is_asked_for(
    filled: FilledBucket, supabase_environment: dict[str, str], level: str
) -> None:
    as_json = {
        "PREFECT_LOGGING_LEVEL": level,
        "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
        "PREFECT_LOGGING_COLORS": "false",
    }
    done = subprocess.run(
        [sys.executable, "-m", "flows", "backfill", json.dumps({"bucket": filled.name})],
        env=prefect_environment() | supabase_environment | as_json,
        capture_output=True,
        text=True,
        check=True,
    )
    run_id = json.loads(done.stdout.splitlines()[0])["run_id"]
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]

    (page,) = (line for line in lines if str(line.get("message")).startswith("page: "))
    assert (page["flow_run_id"], page["bucket"], page["objects"]) == (run_id, filled.name, 4)
    objects = {line["path"]: line for line in lines if line.get("path")}
    if level == "INFO":
        assert not objects
    else:
        assert objects.keys() == {*PATHS, "broken.jpg"}
        broken = objects["broken.jpg"]
        assert (broken["flow_run_id"], broken["batch"]) == (run_id, "a.jpg +3")
        assert (broken["status"], broken["error_code"]) == ("failed", "truncated")
        assert broken["task_run_name"] == "enrich a.jpg +3"
        assert broken["levelname"] == "DEBUG"


def sizes(bucket: FilledBucket) -> list[dict[str, int]]:
    return bucket.query(
        "select (metadata ->> 'size')::int as size from storage.objects where bucket_id = $1",
        bucket.name,
    )
