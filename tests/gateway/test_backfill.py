"""`POST /media-enricher/backfill`: one run per bucket and prefix, on record when it is answered."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect import get_client
from prefect.states import Cancelled

from tests.gateway.conftest import Gateway, Tokens, let_users_read, runs_of


def test_it_answers_202_with_a_run_whose_row_is_there(gateway: Gateway, bucket: str) -> None:
    answer = gateway.as_service(
        "/backfill", bucket=bucket, prefix="images/", limit=500, depth="header"
    )

    assert answer.status_code == 202
    told = answer.json()
    run_id = told.pop("run_id")
    assert told == {
        "status": "queued",
        "bucket": bucket,
        "prefix": "images/",
        "limit": 500,
        "mode": "missing",
        "depth": "header",
        "status_url": f"{gateway.url}/media-enricher/runs/{run_id}",
        "already_running": False,
    }
    row = gateway.run(run_id)
    assert (row["status"], row["trigger"], row["flow"]) == ("queued", "http", "backfill")
    assert (row["max_files"], row["depth"], row["requested_by"]) == (500, "header", "service_role")


def test_prefect_got_the_parameters_and_no_secret(gateway: Gateway, bucket: str) -> None:
    run_id = gateway.as_service("/backfill", bucket=bucket, mode="all").json()["run_id"]

    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
    assert run.parameters == {
        "bucket": bucket,
        "prefix": "",
        "limit": None,
        "mode": "all",
        "depth": "full",
    }
    assert run.labels["media-enricher.trigger"] == "http"
    assert gateway.stack.service_key not in run.model_dump_json()


def test_the_body_may_hold_the_fields_and_the_query_wins(gateway: Gateway, bucket: str) -> None:
    body = {"bucket": "another", "prefix": "images/", "limit": "7", "mode": None}

    told = gateway.as_service("/backfill", bucket=bucket, json=body).json()

    assert (told["bucket"], told["prefix"], told["limit"]) == (bucket, "images/", 7)


def test_it_is_there_under_functions_too(gateway: Gateway, bucket: str) -> None:
    answer = httpx.post(
        f"{gateway.url}/functions/v1/media-enricher/backfill",
        params={"bucket": bucket},
        headers={"authorization": f"Bearer {gateway.stack.service_key}"},
        timeout=30,
    )

    assert answer.status_code in {202, 503}
    if answer.status_code == 202:
        assert answer.json()["status_url"].startswith(f"{gateway.url}/functions/v1/media-enricher/")


def test_a_second_request_finds_the_run_under_way(gateway: Gateway, bucket: str) -> None:
    first = gateway.as_service("/backfill", bucket=bucket, prefix="images/")
    second = gateway.as_service("/backfill", bucket=bucket, prefix="images/", mode="all")
    elsewhere = gateway.as_service("/backfill", bucket=bucket, prefix="other/")

    assert second.status_code == 200
    assert second.json() == first.json() | {"already_running": True}
    assert elsewhere.status_code == 202
    assert elsewhere.json()["run_id"] != first.json()["run_id"]


def test_200_requests_at_once_start_one_run(
    gateway: Gateway, start_gateway: Callable[..., Gateway], bucket: str
) -> None:
    """Half of them at another gateway."""
    other = start_gateway()

    def ask(number: int) -> httpx.Response:
        return (gateway, other)[number % 2].as_service("/backfill", bucket=bucket)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(200)))

    assert {answer.status_code for answer in answers} <= {200, 202}
    (run_id,) = {answer.json()["run_id"] for answer in answers}
    assert len(gateway.query("select from media_enrich_runs where bucket = $1", bucket)) == 1
    assert runs_of(bucket) == [run_id]
    audit = gateway.audit(bucket)
    assert len(audit) >= 200
    assert {str(row["run_id"]) for row in audit if row["http_status"] != 503} == {run_id}


def test_a_run_that_was_cancelled_before_it_began_holds_nobody_up(
    gateway: Gateway, bucket: str
) -> None:
    """Nothing told the table, for no hook is called then."""
    first = gateway.as_service("/backfill", bucket=bucket).json()["run_id"]
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(first, Cancelled(), force=True)
    gateway.query(
        "update media_enrich_runs set created_at = now() - interval '1 min' where id = $1", first
    )

    again = gateway.as_service("/backfill", bucket=bucket)

    assert again.status_code == 202
    assert again.json()["run_id"] != first
    assert gateway.run(first)["status"] == "cancelled"


def test_a_dry_run_counts_and_leaves_nothing_but_its_audit(gateway: Gateway, bucket: str) -> None:
    answer = gateway.as_service("/backfill", bucket=bucket, prefix="images/", dry_run=True)

    assert answer.status_code == 200
    found = answer.json()
    assert {"estimated_seconds", *found} == {*found}, "null before there is a run of this depth"
    del found["estimated_seconds"]
    assert found == {
        "dry_run": True,
        "bucket": bucket,
        "prefix": "images/",
        "limit": None,
        "mode": "missing",
        "depth": "full",
        "max_bytes": None,
        "objects": 1,
        "size_bytes": 3,
        "estimated_read_bytes": 3,
        "suggestion": None,
    }
    assert not gateway.query("select from media_enrich_runs where bucket = $1", bucket)
    assert [row["reason"] for row in gateway.audit(bucket)] == ["counted"]


def test_a_dry_run_suggests_header_depth_where_full_would_read_much(
    gateway: Gateway, bucket: str
) -> None:
    """60 GB, in objects that are small enough to be read whole."""
    gateway.query(
        "insert into storage.objects (bucket_id, name, metadata) select $1, n::text || '.jpg',"
        """ '{"size": 200000000, "eTag": "\\"x\\"", "mimetype": "image/jpeg"}'"""
        " from generate_series(1, 300) n",
        bucket,
    )
    found = gateway.as_service("/backfill", bucket=bucket, dry_run=True).json()
    suggestion = found["suggestion"]
    assert suggestion["depth"] == "header"
    assert found["estimated_read_bytes"] >= 60_000_000_000
    assert 0 < suggestion["estimated_read_bytes"] <= 302 * 15 * 2**20
    assert suggestion["message"].startswith("Consider depth header first")
    shallow = gateway.as_service("/backfill", bucket=bucket, depth="header", dry_run=True).json()
    assert shallow["suggestion"] is None
    cheap = gateway.as_service("/backfill", bucket=bucket, dry_run=True, max_bytes=2).json()
    assert (cheap["max_bytes"], cheap["estimated_read_bytes"]) == (2, 2)


def test_a_budget_reaches_the_run_its_row_and_the_audit(gateway: Gateway, bucket: str) -> None:
    large = 2**40
    answer = gateway.as_service("/backfill", bucket=bucket, max_bytes=large)
    assert answer.status_code == 202
    assert answer.json()["max_bytes"] == large
    run_id = answer.json()["run_id"]
    assert gateway.run(run_id)["max_bytes"] == large
    assert gateway.audit(bucket)[-1]["max_bytes"] == large
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(run_id).parameters["max_bytes"] == large
    row = gateway.get(f"/runs/{run_id}", gateway.stack.service_key).json()
    assert (row["max_bytes"], row["stopped_by"]) == (large, None)


@pytest.mark.parametrize("max_bytes", ["0", "-1", "1.5", "many", str(2**63)])
def test_a_budget_that_is_none_is_refused(gateway: Gateway, bucket: str, max_bytes: str) -> None:
    answer = gateway.as_service("/backfill", bucket=bucket, max_bytes=max_bytes)
    assert (answer.status_code, answer.json()["field"]) == (422, "max_bytes")


class TestIdempotencyKey:
    def ask(self, gateway: Gateway, key: str, **params: Any) -> httpx.Response:
        headers = {
            "authorization": f"Bearer {gateway.stack.service_key}",
            "idempotency-key": key,
        }
        answer = gateway.http.post("/backfill", headers=headers, params=params)
        return (
            self.ask(gateway, key, **params) if answer.status_code == httpx.codes(503) else answer
        )

    def test_it_gives_the_same_run_even_when_that_has_ended(
        self, gateway: Gateway, bucket: str
    ) -> None:
        key = str(uuid4())
        first = self.ask(gateway, key, bucket=bucket)
        gateway.query("select media_record_run($1)", f'{{"id": "{first.json()["run_id"]}"}}')
        gateway.query(
            "update media_enrich_runs set status = 'completed', finished_at = now() where id = $1",
            first.json()["run_id"],
        )

        again = self.ask(gateway, key, bucket=bucket)

        assert (first.status_code, again.status_code) == (202, 202)
        assert again.json() == first.json() | {"status": "completed"}

    def test_for_something_else_it_is_refused(self, gateway: Gateway, bucket: str) -> None:
        key = str(uuid4())
        self.ask(gateway, key, bucket=bucket)

        answer = self.ask(gateway, key, bucket=bucket, mode="all")

        assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")
        assert key in answer.json()["error"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("params", "field", "value"),
        [
            ({}, "bucket", None),
            ({"bucket": ""}, "bucket", '""'),
            ({"bucket": "a/b"}, "bucket", '"a/b"'),
            ({"bucket": "photos", "limit": "0"}, "limit", '"0"'),
            ({"bucket": "photos", "limit": "99999999999"}, "limit", '"99999999999"'),
            ({"bucket": "photos", "limit": "ten"}, "limit", '"ten"'),
            ({"bucket": "photos", "mode": "everything"}, "mode", '"everything"'),
            ({"bucket": "photos", "depth": "deep"}, "depth", '"deep"'),
            ({"bucket": "photos", "prefix": "x" * 1025}, "prefix", None),
            ({"bucket": "photos", "prefix": "nul\x00"}, "prefix", '"nul\\u0000"'),
            ({"bucket": "photos", "buckett": "x"}, "buckett", '"x"'),
            ({"bucket": ["photos", "videos"]}, "bucket", '["photos", "videos"]'),
        ],
    )
    def test_an_invalid_value_is_named(
        self, gateway: Gateway, params: dict[str, Any], field: str, value: str | None
    ) -> None:
        answer = gateway.as_service("/backfill", **params)

        assert answer.status_code == 422
        told = answer.json()
        assert (told["code"], told["field"]) == ("invalid_value", field)
        assert field in told["error"]
        if value is not None:
            assert told["value"] == value

    @pytest.mark.parametrize(
        "body", [b"{", b"[]", b'"text"', b"\xff", b"[" * 100_000, b'{"prefix": "\\ud800"}']
    )
    def test_a_body_that_is_no_object_is_malformed(
        self, gateway: Gateway, bucket: str, body: bytes
    ) -> None:
        answer = gateway.http.post(
            "/backfill",
            params={"bucket": bucket},
            content=body,
            headers={"authorization": f"Bearer {gateway.stack.service_key}"},
        )

        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")

    def test_a_huge_body_is_not_read(self, gateway: Gateway, bucket: str) -> None:
        answer = gateway.as_service("/backfill", bucket=bucket, json={"prefix": "x" * 2**20})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

        def chunks() -> Any:
            for _ in range(20):
                yield b" " * 2**16

        streamed = gateway.http.post(
            "/backfill",
            content=chunks(),
            headers={"authorization": f"Bearer {gateway.stack.service_key}"},
        )
        assert (streamed.status_code, streamed.json()["code"]) == (413, "too_large")
        assert [row["http_status"] for row in gateway.audit(bucket)] == [413], "on record"

    def test_an_unknown_bucket_is_404(self, gateway: Gateway) -> None:
        answer = gateway.as_service("/backfill", bucket="no-such-bucket")

        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_bucket")
        assert "no-such-bucket" in answer.json()["error"]

    def test_another_method_or_path_has_the_same_shape(self, gateway: Gateway) -> None:
        wrong_method = gateway.get("/backfill", gateway.stack.service_key)
        assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
        assert wrong_method.json()["code"] == "method_not_allowed"
        assert gateway.post("/backfil").json()["code"] == "not_found"


class TestLimits:
    def test_so_many_runs_may_be_under_way(
        self, start_gateway: Callable[..., Gateway], make_bucket: Callable[[], str]
    ) -> None:
        first = start_gateway(MEDIA_ENRICHER_SERVICE_ACTIVE_RUNS="1")
        bucket = make_bucket()
        first.query("update media_enricher.run_requests set released_at = now()")
        assert first.as_service("/backfill", bucket=bucket).status_code == 202

        answer = first.as_service("/backfill", bucket=make_bucket())

        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_runs")
        assert int(answer.headers["retry-after"]) == answer.json()["retry_after"] > 0
        assert first.as_service("/backfill", bucket=bucket).status_code == 200

    def test_users_are_rate_limited_where_they_may_trigger_and_admins_are_not(
        self, start_gateway: Callable[..., Gateway], tokens: Tokens, bucket: str
    ) -> None:
        gateways = [
            start_gateway(
                MEDIA_ENRICHER_WHO_MAY_TRIGGER="signed_in",
                MEDIA_ENRICHER_REQUESTS_PER_MINUTE="3",
            )
            for _ in range(2)
        ]
        user, admin = tokens.of(), tokens.admin
        let_users_read(gateways[0], bucket)

        def ask(token: str, number: int) -> httpx.Response:
            return gateways[number % 2].post("/backfill", token, bucket=bucket, dry_run=True)

        answers = [ask(user, number) for number in range(5)]

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[-1].json()["code"] == "rate_limited"
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert {ask(admin, number).status_code for number in range(5)} == {200}


def test_every_request_is_on_record_whatever_became_of_it(
    gateway: Gateway, tokens: Tokens, bucket: str
) -> None:
    user = tokens.of(email="someone@example.com")
    gateway.post("/backfill", bucket=bucket)
    gateway.post("/backfill", user, bucket=bucket)
    gateway.as_service("/backfill", bucket=bucket, mode="everything")
    gateway.http.post(
        "/backfill",
        params={"bucket": bucket},
        headers={"authorization": f"Bearer {tokens.admin}", "user-agent": "a browser"},
    )
    gateway.as_service("/backfill", bucket=bucket)

    # What has no valid token is counted elsewhere: see test_unauthenticated_limiter.
    not_admin, invalid, started, found = gateway.audit(bucket)
    assert (not_admin["http_status"], not_admin["reason"]) == (403, "not_admin")
    assert not_admin["caller_role"] == "authenticated"
    assert not_admin["user_id"] is not None
    assert (invalid["http_status"], invalid["mode"]) == (422, "everything")
    assert (started["http_status"], started["is_allowed"]) in {(202, True), (503, True)}
    assert (started["user_agent"], str(started["ip_address"])) == ("a browser", "127.0.0.1")
    assert found["run_id"] is not None
    assert gateway.stack.service_key not in gateway.log.read_text()
    assert user not in gateway.log.read_text()
