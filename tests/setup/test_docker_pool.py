"""What becomes of a Docker work pool's base job template at each set-up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect_docker.worker import DockerWorker

from media_enricher import settings
from media_enricher.settings import SettingsError
from media_enricher.setup import work_pool
from media_enricher.setup.docker_pool import docker_template
from media_enricher.setup.resources import PoolType


@pytest.fixture(autouse=True)
def _settings_of_this_test() -> Iterator[None]:
    settings.settings.cache_clear()
    yield
    settings.settings.cache_clear()


def default(template: dict[str, Any], name: str) -> Any:
    return template["variables"]["properties"][name]["default"]


def choose(template: dict[str, Any], name: str, value: object) -> None:
    """As an operator does on the work pool's page."""
    template["variables"]["properties"][name]["default"] = value


def test_what_an_operator_chose_stays() -> None:
    there = docker_template(None, None)
    choose(there, "mem_limit", "8g")
    choose(there, "networks", [])
    choose(there, "network_mode", "host")
    default(there, "env")["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://collector:4318"
    assert docker_template(there, None) == there


def test_one_that_a_worker_made_is_replaced() -> None:
    theirs = DockerWorker.get_default_base_job_template()
    assert docker_template(theirs, None) == docker_template(None, None)


def test_the_image_is_that_of_the_last_set_up() -> None:
    there = docker_template(None, "registry.example.com/media-enricher:0.2.0")
    assert default(there, "image") == "registry.example.com/media-enricher:0.2.0"
    assert default(docker_template(there, None), "image").startswith("media-enricher:")


def test_runs_get_the_settings_of_the_last_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_ENGINE_WORKERS", "3")
    monkeypatch.setenv("MEDIA_ENRICHER_WEBHOOK_SECRET", "s" * 32)  # the gateway's
    there = docker_template(None, None)
    assert default(there, "env")["MEDIA_ENRICHER_ENGINE_WORKERS"] == "3"
    assert "s" * 32 not in str(there)

    monkeypatch.delenv("MEDIA_ENRICHER_ENGINE_WORKERS")
    settings.settings.cache_clear()
    now = default(docker_template(there, None), "env")
    assert "MEDIA_ENRICHER_ENGINE_WORKERS" not in now
    assert now["SUPABASE_SECRET_KEY"].startswith("{{ prefect.blocks.")


def test_a_setting_that_runs_could_not_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_ENRICHER_ENGINE_WORKERS", "many")
    with pytest.raises(SettingsError, match="MEDIA_ENRICHER_ENGINE_WORKERS"):
        docker_template(None, None)


def test_a_docker_pool_has_our_template_and_gets_the_next_one(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_pool, "POOL", "of-docker")

    async def make_three_times() -> list[str]:
        async with get_client() as client:
            made = await work_pool.make_work_pool(client, PoolType.DOCKER)
            found = await work_pool.make_work_pool(client, None)
            template = (await client.read_work_pool("of-docker")).base_job_template
            template["variables"]["properties"]["image"]["default"] = "older"
            await client.update_work_pool("of-docker", WorkPoolUpdate(base_job_template=template))
            updated = await work_pool.make_work_pool(client, None)
            return [made.outcome, found.outcome, updated.outcome]

    assert asyncio.run(make_three_times()) == ["created", "unchanged", "updated"]
