"""supabase-js, in Node.js: trigger a run, follow it, and read what it found, as a frontend does.

It asks the Edge Function, as on a hosted project.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supabase_local import LocalStack, User
from tests.javascript import install, node_environment

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def bucket(site_stack: LocalStack, site_bucket: Callable[..., str]) -> str:
    """A bucket with photographs of ada's tenant, of ben's, and of nobody's."""
    ada, ben = site_stack.users.ada.tenant_id, site_stack.users.ben.tenant_id
    return site_bucket(f"{ada}/1.jpg", f"{ada}/2.jpg", f"{ben}/3.jpg", "4.jpg")


@pytest.fixture(scope="module")
def seen(needs_node: None, site_stack: LocalStack, bucket: str) -> dict[str, Any]:
    """What supabase-js answered, as `frontend.mjs` prints it."""
    install(FOLDER)
    told = {
        "url": site_stack.url,
        "key": site_stack.anon_key,
        "bucket": bucket,
        "admin": credentials(site_stack.users.admin),
        "reader": credentials(site_stack.users.ada),
    }
    ran = subprocess.run(
        ["node", "frontend.mjs", json.dumps(told)],
        cwd=FOLDER,
        env=node_environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answers: dict[str, Any] = json.loads(ran.stdout)
    return answers


def credentials(user: User) -> dict[str, str]:
    return {"email": user.email, "password": user.password}


def test_an_admin_starts_a_run_and_polls_it_until_it_is_completed(seen: dict[str, Any]) -> None:
    assert seen["started"]["status"] == 202
    assert seen["started"]["data"]["status"] == "queued"
    run = seen["run"]
    assert (run["id"], run["status"]) == (seen["started"]["data"]["run_id"], "completed")
    counts = [run[name] for name in ("total_files", "processed_files", "succeeded", "failed")]
    assert counts == [4, 4, 4, 0]


def test_a_region_of_supabases_changes_nothing(seen: dict[str, Any]) -> None:
    answer = seen["inRegion"]
    assert answer["status"] in {200, 202}, answer  # 202: the run had ended by then
    assert answer["data"]["bucket"] == seen["started"]["data"]["bucket"]


def test_a_user_reads_what_was_found_of_their_tenant_and_nothing_else(
    seen: dict[str, Any], site_stack: LocalStack
) -> None:
    ada = site_stack.users.ada.tenant_id
    rows = seen["membersAssets"]
    assert [row["path"] for row in rows] == [f"{ada}/1.jpg", f"{ada}/2.jpg"]
    for row in rows:
        assert row["status"] == "enriched"
        assert row["width"] > 0
        assert row["blurhash"]


def test_a_visitor_reads_nothing(seen: dict[str, Any]) -> None:
    assert "permission denied" in seen["visitorsAssets"]["refused"]


def test_a_refusal_reaches_supabase_js_as_its_own_error_with_our_sentence(
    seen: dict[str, Any],
) -> None:
    for who, status, code in (("byVisitor", 401, "no_token"), ("byMember", 403, "not_admin")):
        answer = seen[who]
        assert answer["isFunctionsHttpError"]
        assert (answer["status"], answer["error"]["code"]) == (status, code)
        assert answer["error"]["error"].endswith(".")
