"""`media-enricher up` with a project and a Prefect server that are there already: the site's.

It is apart from `test_up.py` so that `-n` need not run all of that where the site is.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from media_enricher.dev.environment import DevEnvironment
from supabase_local import LocalStack
from tests.cli.up import Up
from tests.waiting import PATIENCE_SECONDS, command_of, wait_until_gone


def test_what_the_environment_names_is_used_as_it_is_and_a_server_that_ends_is_named(
    tmp_path: Path, site: DevEnvironment, site_stack: LocalStack
) -> None:
    folder = tmp_path / "up"
    environment = site.environment() | {"PREFECT_HOME": str(folder / "home")}
    (folder.parent / ".env").write_text(
        "\n".join(f"{name}={value}" for name, value in environment.items())
    )
    try:
        up = Up(folder)
        up.wait_until_running()
    finally:
        (folder.parent / ".env").unlink()
    assert up.said["Supabase"].startswith(f"{site_stack.url} (from SUPABASE_URL")
    assert up.said["Prefect"] == site.prefect_url
    members = up.members()
    commands = list(map(command_of, members))
    assert not [command for command in commands if "postgres" in command or "server" in command]
    me = httpx.get(
        f"{up.said['gateway']}/me", headers={"authorization": f"Bearer {site_stack.service_key}"}
    )
    assert me.json()["may_trigger"], "the gateway works with the project that was named"

    (gateway,) = (member for member in members if "serve" in command_of(member).split())
    gateway.kill()
    output, _ = up.process.communicate(timeout=PATIENCE_SECONDS)
    assert up.process.returncode == 1
    assert "the gateway ended unexpectedly" in output
    assert "gateway.log" in output
    wait_until_gone(members)
