"""The wheel is enough: every command works where it is installed, with no checkout in sight."""

from __future__ import annotations

import json
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from media_enricher.dev.prefect_server import PrefectServer
from supabase_local import LocalStack
from supabase_local.ports import free_port
from tests.package.conftest import ROOT, Installation
from tests.prefect_api import PrefectApi
from tests.probe.samples import photograph, saved
from tests.waiting import wait_until_it_answers

PACKAGES = ("flows", "media_enricher", "process_control", "supabase_local", "tasks")
FILES = (
    *("deployments/automations", "deployments/supabase", "deployments/work_pools"),
    *("prefect.yaml", "sql"),
)
"""What is at the top of the repository, and in `media_enricher/project_files/` of the wheel."""

WHERE = """
import importlib.metadata, json, sys
import flows, media_enricher, process_control, supabase_local, tasks
from media_enricher import project_files
print(json.dumps({
    "path": sys.path,
    "packages": [
        each.__file__
        for each in (flows, media_enricher, process_control, supabase_local, tasks)
    ],
    "version": importlib.metadata.version("media-enricher"),
    "migrations": str(project_files.MIGRATIONS.resolve()),
}))
"""


def files_of_the_project() -> set[str]:
    """What git holds of the packages and of their files, named as in the wheel."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *PACKAGES, *FILES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in listed.stdout.split("\0") if name and not (ROOT / name).is_symlink()]
    return {
        f"media_enricher/project_files/{name}" if name.startswith(FILES) else name for name in names
    }


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert names == files_of_the_project()


def test_the_sdist_has_all_of_the_wheel_and_the_changelog(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert all(member.isfile() or member.isdir() for member in archive.getmembers())
        names = {member.name.partition("/")[2] for member in archive.getmembers()}

    assert names > files_of_the_project() | {"CHANGELOG.md", "LICENSE", "README.md"}
    assert not [name for name in names if name.startswith(("tests/", "examples/"))]


class Project:
    """A Supabase project and a Prefect server, used by what the wheel installed."""

    def __init__(self, installation: Installation, stack: LocalStack, prefect: PrefectServer):
        self.installation = installation
        self.stack = stack
        self.prefect = PrefectApi(prefect.url, prefect.auth_string)
        self.settings = (
            stack.environment() | prefect.environment() | {"MEDIA_ENRICHER_ENGINE_WORKERS": "1"}
        )

    def command(self, *arguments: str) -> str:
        return self.installation.run(self.settings, "media-enricher", *arguments)

    def http(self, method: str, path: str, **request: object) -> httpx.Response:
        headers = {"apikey": self.stack.service_key}
        answer = httpx.request(method, f"{self.stack.url}{path}", headers=headers, **request)  # type: ignore[arg-type]
        return answer.raise_for_status()

    def bucket(self) -> str:
        """A new bucket with one photograph."""
        name = f"wheel-{uuid4().hex[:8]}"
        self.http("POST", "/storage/v1/bucket", json={"name": name, "public": False})
        data = saved(photograph(), "JPEG")
        self.http("POST", f"/storage/v1/object/{name}/a.jpg", content=data)
        return name

    def assets(self, bucket: str) -> list[dict[str, object]]:
        columns = "select=path,status,width"
        answer = self.http("GET", f"/rest/v1/media_assets?bucket=eq.{bucket}&{columns}")
        rows: list[dict[str, object]] = answer.json()
        return rows


ENRICHED = [{"path": "a.jpg", "status": "enriched", "width": 480}]


@pytest.fixture(scope="module")
def project(
    needs_stack: None,
    needs_prefect: None,
    installation: Installation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Project]:
    """Of these tests alone, with nothing in it."""
    with (
        LocalStack.start(tmp_path_factory.mktemp("stack")) as stack,
        PrefectServer.start(tmp_path_factory.mktemp("prefect")) as prefect,
    ):
        prefect.wait_until_ready()
        yield Project(installation, stack, prefect)


@pytest.fixture(scope="module")
def migrated(project: Project) -> str:
    """What `migrate` printed, the first time."""
    return project.command("migrate")


@pytest.fixture(scope="module")
def set_up(project: Project, migrated: str) -> str:
    """What `setup` printed, the first time."""
    return project.command("setup")


def test_nothing_of_it_is_found_in_the_checkout(installation: Installation) -> None:
    where = json.loads(installation.run({}, "python", "-c", WHERE))
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert str(ROOT) not in where["path"]
    for found in [*where["packages"], where["migrations"]]:
        assert Path(found).is_relative_to(installation.packages)
    assert where["version"] == declared["version"]
    assert not list(installation.folder.iterdir())


def test_migrate_applies_every_migration(project: Project, migrated: str) -> None:
    ours = sorted(file.name for file in (ROOT / "sql").glob("*.sql"))

    assert [name for name in ours if name not in migrated] == []
    again = project.command("migrate")
    assert not any(name in again for name in ours)


def test_setup_makes_all_and_finds_it_again(project: Project, set_up: str) -> None:
    for made in ("deployment backfill ", "deployment sweep ", "media-enricher-crash-zombies"):
        assert any(line.startswith("created ") and made in line for line in set_up.splitlines()), (
            made
        )

    assert "created " not in project.command("setup")


def test_doctor_finds_all_well(project: Project, set_up: str) -> None:
    said = json.loads(project.command("doctor", "--json"))

    others = {each["name"]: each["verdict"] for each in said if each["verdict"] != "ok"}
    assert others == {"Change feed": "skipped"}, said  # it is off


def test_serve_answers_and_has_the_admin_page(
    project: Project, set_up: str, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "gateway.log"
    serve = ("media-enricher", "serve", "--port", str(port))
    with project.installation.running(project.settings, log, *serve):
        wait_until_it_answers(f"http://127.0.0.1:{port}/healthz", log)
        page = httpx.get(f"http://127.0.0.1:{port}/media-enricher/admin").raise_for_status()
        script = httpx.get(f"http://127.0.0.1:{port}/media-enricher/admin/main.js")

    assert "text/html" in page.headers["content-type"]
    assert script.is_success


def test_backfill_enriches(project: Project, migrated: str) -> None:
    bucket = project.bucket()

    project.command("backfill", bucket)

    assert project.assets(bucket) == ENRICHED


def test_a_worker_runs_a_deployment(project: Project, set_up: str, tmp_path: Path) -> None:
    bucket, log = project.bucket(), tmp_path / "worker.log"
    worker = ("python", "-m", "prefect", "worker", "start", "--pool", "media-enricher")
    with project.installation.running(project.settings, log, *worker):
        run = project.prefect.start_run("backfill/backfill", bucket=bucket)
        project.prefect.wait_for_state(run, "COMPLETED")

    assert project.assets(bucket) == ENRICHED
