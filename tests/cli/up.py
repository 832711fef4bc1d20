"""`media-enricher up` as tests start it, and what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil

from process_control import parent_death
from tests.flows.conftest import SLOWLY
from tests.prefect_api import PrefectApi


class Up:
    """`media-enricher up --empty` in a process of its own."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        named = ("SUPABASE_", "NEXT_PUBLIC_", "PREFECT_", "DATABASE_URL")
        cleaned = {name: value for name, value in os.environ.items() if not name.startswith(named)}
        self.process = subprocess.Popen(
            [
                *(str(Path(sys.executable).with_name("media-enricher")), "up", "--empty"),
                *("--folder", str(folder), *options),
            ],
            cwd=folder.parent,
            env=cleaned | SLOWLY | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=parent_death.preexec(),
            start_new_session=True,  # as a shell gives each command a process group of its own
        )
        self.said: dict[str, str] = {}
        self.output = ""

    def wait_until_running(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            if told := re.fullmatch(r"  (.{22}) (\S.*)\n", line):
                self.said[told[1].strip()] = told[2]
            if "Running until Ctrl-C" in line:
                return
        raise AssertionError(self.output)

    def members(self) -> list[psutil.Process]:
        """All processes below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    @property
    def prefect(self) -> PrefectApi:
        return PrefectApi(self.said["Prefect"], self.said["Prefect's password"])
