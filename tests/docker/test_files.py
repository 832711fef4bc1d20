"""What is written for a container engine holds together, as far as can be told without one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import prefect.settings
import pytest
import typer
from prefect_docker.worker import DockerWorker

from docs.tools.pages.settings import variables
from media_enricher.cli import app
from media_enricher.settings import (
    DatabaseSettings,
    GatewaySettings,
    Settings,
    SetupSettings,
    SupabaseSettings,
)
from media_enricher.setup.blocks import CREDENTIALS, RESULTS
from media_enricher.setup.resources import POOL
from tests.docker.conftest import IMAGE
from tests.docker.podman import ROOT
from tests.docker.stand_ins import COMPOSE, DOCKERFILE

EXAMPLE = ROOT / "deployments" / ".env.example"
TEMPLATE = json.loads((ROOT / "deployments" / "work_pools" / "docker.json").read_text())
VARIABLES = TEMPLATE["variables"]["properties"]
ONE_SHOTS = {"migrate", "setup"}


def compose_config(folder: Path, env: str) -> subprocess.CompletedProcess[str]:
    """What podman-compose makes of the file with such a `.env` beside it; it needs no engine."""
    (folder / ".env").write_text(env)
    (folder / "compose.yaml").write_text(COMPOSE.read_text())
    return subprocess.run(
        [Path(sys.executable).with_name("podman-compose"), "--dry-run", "config"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def services(
    needs_processes: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """The services, with `.env.example` filled in."""
    env = re.sub(r"=$", "=1234", EXAMPLE.read_text(), flags=re.MULTILINE)
    done = compose_config(tmp_path_factory.mktemp("compose"), env)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = msgspec.yaml.decode(done.stdout)["services"]
    return found


def test_all_speak_of_the_same_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    deployed = msgspec.yaml.decode((ROOT / "prefect.yaml").read_bytes())
    assert f"media-enricher:{version}" == IMAGE
    assert VARIABLES["image"]["default"] == IMAGE
    assert f"ARG VERSION={version}\n" in DOCKERFILE.read_text()
    docs = ROOT / "docs"
    speakers = [COMPOSE, DOCKERFILE, EXAMPLE, docs / "guides" / "docker.md"]
    for file in {*speakers, *docs.rglob("*.md")}:
        told = re.findall(r"media-enricher:(\d[\d.]*\d)", file.read_text())
        assert set(told) == {version} or (not told and file not in speakers), file
    assert deployed["definitions"]["defaults"]["version"] == version


def test_every_image_is_pinned(services: dict[str, dict[str, Any]]) -> None:
    named = [service["image"] for service in services.values()]
    named += re.findall(r"^FROM (\S+[:/]\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    for image in named:
        assert re.search(r":\d+\.\d+", image), f"{image} may be another tomorrow"


def test_every_command_and_every_variable_is_known(services: dict[str, dict[str, Any]]) -> None:
    ours: set[str] = set()
    for group in (SupabaseSettings, DatabaseSettings, Settings, GatewaySettings, SetupSettings):
        for setting, field in group.model_fields.items():
            ours.update(variables(group, setting, field))
    commands = typer.main.get_command(app).list_commands(None)  # type: ignore[attr-defined]
    for name, service in services.items():
        program, command, *_ = service.get("command", ["", ""])
        if program == "media-enricher":
            assert command in commands, name
        for variable in service["environment"]:
            if variable.startswith("PREFECT_"):
                assert hasattr(prefect.settings, variable), f"{name}: {variable}"
            elif service["image"] == IMAGE:
                assert variable in ours, f"{name}: {variable}"


def test_env_example_has_what_compose_asks_for_and_nothing_else() -> None:
    asked = re.findall(r"\$\{(\w+)", COMPOSE.read_text())
    offered = re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    assert set(asked) <= set(offered)
    for name in set(offered) - set(asked):
        assert name.startswith("MEDIA_ENRICHER_"), f"{name} is used by nothing"


@pytest.mark.usefixtures("needs_processes")
def test_what_is_missing_is_named(tmp_path: Path) -> None:
    without = re.sub(r"^SUPABASE_URL=.*$", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    done = compose_config(tmp_path, without)
    assert done.returncode != 0
    assert "SUPABASE_URL" in done.stderr


def test_services_are_private_watched_and_bounded(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["mem_limit"], name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (
                "Prefect's API runs code, and the gateway has no TLS"
            )
        if name in ONE_SHOTS:
            assert (service["restart"], service["healthcheck"]) == ("no", {"disable": True})
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] == "CMD", name
        if name != "database":
            assert service["cap_drop"] == ["ALL"], name
    assert services["worker"]["depends_on"] == services["gateway"]["depends_on"]
    assert set(services["setup"]["depends_on"]) == {"prefect", "migrate"}


def test_process_1_reaps_orphans(services: dict[str, dict[str, Any]]) -> None:
    """Prefect waits for a run's process group to be empty, and does not reap a zombie in it."""
    ours = {name for name, service in services.items() if name != "database"}
    assert {name for name, service in services.items() if service.get("init")} == ours
    assert TEMPLATE["job_configuration"]["container_create_kwargs"]["init"] is True


def test_keys_are_with_those_alone_who_need_them(services: dict[str, dict[str, Any]]) -> None:
    def has(variable: str) -> set[str]:
        return {name for name, service in services.items() if variable in service["environment"]}

    assert has("SUPABASE_SECRET_KEY") == {"setup", "gateway"}
    assert has("DATABASE_URL") == {"migrate"}
    assert has("POSTGRES_PASSWORD") == {"database"}
    assert "worker" in has("PREFECT_API_AUTH_STRING")


def test_the_work_pool_fits_prefects_worker_and_the_rest_of_this() -> None:
    theirs = DockerWorker.get_default_base_job_template()
    assert set(TEMPLATE["job_configuration"]) <= set(theirs["job_configuration"])
    assert set(VARIABLES) <= set(theirs["variables"]["properties"])
    assert TEMPLATE["variables"]["$defs"].keys() == theirs["variables"]["$defs"].keys()
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(TEMPLATE["job_configuration"])))
    assert used | {"env"} == set(VARIABLES), "each can be used, and is"

    networks = msgspec.yaml.decode(COMPOSE.read_bytes())["networks"]
    assert VARIABLES["networks"]["default"] == [networks["runs"]["name"]]
    assert VARIABLES["auto_remove"]["default"] is True
    env = VARIABLES["env"]["default"]
    assert env["SUPABASE_SECRET_KEY"].startswith(
        f"{{{{ prefect.blocks.supabase-credentials.{CREDENTIALS}."
    )
    assert env["MEDIA_ENRICHER_RESULT_STORAGE"] == f"block:supabase-bucket/{RESULTS}"
    assert TEMPLATE["job_configuration"]["env"]["PREFECT_HOME"] in DOCKERFILE.read_text()
    assert f"--pool, {POOL}, --type, docker" in COMPOSE.read_text()
