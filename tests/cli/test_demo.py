"""The demo as its user meets it: it starts everything, tells the truth and tidies up."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from media_enricher.cli import app
from media_enricher.demo import audit
from media_enricher.demo.packages import images_of
from process_control import parent_death
from tests.corpora import CACHE
from tests.waiting import PATIENCE_SECONDS, command_of, wait_until_gone

pytestmark = pytest.mark.usefixtures("needs_stack", "needs_prefect", "needs_images")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own folder: real photographs with EXIF, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    photographs = [path for path in images_of("piexif", cache=CACHE) if path.stat().st_size > 5000]
    for path in photographs[:10]:
        shutil.copy(path, folder)
    (folder / "not a picture.jpg").write_bytes(b"")
    (folder / "été.jpg").write_bytes((folder / "02.jpg").read_bytes())
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def start(pictures: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-c", "from media_enricher.cli import app; app()", "demo"),
            *("--images", str(pictures), "--folder", str(folder), *options),
        ],
        env=os.environ | {"SUPABASE_URL": "https://somebody-elses.supabase.co", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=parent_death.preexec(),
    )


def test_it_shows_the_whole_job_and_checks_it(pictures: Path, folder: Path) -> None:
    process = start(pictures, folder)
    output, _ = process.communicate(timeout=2 * PATIENCE_SECONDS)
    assert process.returncode == 0, output
    for line in (
        "✓ 12 files",
        "3 by ada@example.com, 3 by ben@example.com, 6 by service key",
        "✓ backfill: 11 enriched, 1 failed",
        "✓ each of 12 objects has its row in media_assets",
        "agree: 11 enriched, 1 failed, 0 unsupported",
        "✓ backfill again: Nothing to do",
        "✓ it downloaded nothing",
        "✓ ada@example.com sees the 3 rows of their tenant, and no other",
    ):
        assert line in output, output
    assert "✗" not in output


@pytest.fixture
def kept(pictures: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A second demo on the same folder, left running."""
    process = start(pictures, folder, "--keep")
    assert process.stdout
    output = ""
    for line in process.stdout:
        output += line
        if "Running until Ctrl-C" in line:
            break
    told = re.search(r"To sign in to Prefect, open its address and enter prefect:\S+\.", output)
    assert told, output
    yield process
    process.kill()
    process.wait()


def test_kept_running_it_stops_whole_with_ctrl_c(
    pictures: Path, folder: Path, kept: subprocess.Popen[str]
) -> None:
    children = psutil.Process(kept.pid).children(recursive=True)
    commands = " ".join(map(command_of, children))
    assert "prefect" in commands
    assert "postgres" in commands

    another = start(pictures, folder)
    output, _ = another.communicate(timeout=PATIENCE_SECONDS)
    assert another.returncode == 2
    assert "is already running in" in output

    kept.send_signal(signal.SIGINT)
    assert kept.wait(timeout=PATIENCE_SECONDS) == 0
    wait_until_gone(children)


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for images in (tmp_path / "empty", tmp_path / "missing"):
        result = CliRunner().invoke(
            app, ["demo", "--images", str(images), "--folder", str(tmp_path / "demo")]
        )
        assert result.exit_code == 2
        assert str(images) in result.output.replace("\n", "")


def test_only_downloads_of_its_bucket_count(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    log.write_text(
        '{"method": "GET", "path": "/object/authenticated/dashboard-assets/a.jpg"}\n'
        '{"method": "GET", "path": "/object/authenticated/other/a.jpg"}\n'
        '{"method": "POST", "path": "/object/dashboard-assets/a.jpg"}\n'
    )
    assert audit.downloads(log) == 1
