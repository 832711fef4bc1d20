"""`media-enricher probe FILE…`."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from media_enricher.cli import app
from media_enricher.models import Findings
from tests.probe.samples import photograph, saved

runner = CliRunner()
COLUMNS = {*Findings.__struct_fields__, "path", "size_bytes", "declared_content_type", "depth"}
COLUMNS |= {"enricher_version"}


def test_one_file_is_printed_to_be_read(tmp_path: Path) -> None:
    file = tmp_path / "a photo.jpg"
    file.write_bytes(saved(photograph(), "jpeg"))
    ran = runner.invoke(app, ["probe", str(file)])
    assert ran.exit_code == 0
    assert ran.stdout.count("\n") > 10
    row = json.loads(ran.stdout)
    assert set(row) <= COLUMNS
    assert (row["path"], row["width"], row["height"]) == (str(file), 480, 320)
    assert (row["status"], row["depth"], row["kind"]) == ("enriched", "full", "image")
    assert row["size_bytes"] == file.stat().st_size
    assert row["declared_content_type"] == "image/jpeg"


def test_many_files_are_a_line_each_and_a_missing_one_is_a_sentence(tmp_path: Path) -> None:
    for name in ("a.png", "b.webp"):
        (tmp_path / name).write_bytes(saved(photograph(), name[2:]))
    paths = [str(tmp_path / name) for name in ("a.png", "missing.jpg", "b.webp", ".")]
    ran = runner.invoke(app, ["probe", "--jsonl", *paths])
    assert ran.exit_code == 2
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [row["content_type"] for row in rows] == ["image/png", "image/webp"]
    assert f"Cannot read {paths[1]}: No such file or directory." in ran.stderr
    assert "Is a directory" in ran.stderr
    assert "Traceback" not in ran.output


def test_header_depth_decodes_nothing_and_reads_on_as_needed(tmp_path: Path) -> None:
    file = tmp_path / "scan.tif"
    file.write_bytes(saved(photograph(900, 700), "tiff", compression="tiff_lzw"))
    ran = runner.invoke(app, ["probe", "--depth", "header", str(file)])
    row = json.loads(ran.stdout)
    assert (row["width"], row["height"], row["depth"]) == (900, 700, "header")
    assert "blurhash" not in row
    assert "sha256" not in row


def test_a_broken_file_is_described_and_makes_the_command_fail(tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    file.write_bytes(saved(photograph(), "jpeg")[:5_000])
    ran = runner.invoke(app, ["probe", str(file)])
    assert ran.exit_code == 1
    row = json.loads(ran.stdout)
    assert (row["status"], row["error_code"], row["width"]) == ("failed", "truncated", 480)
