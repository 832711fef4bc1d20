"""The doctor against a real stack: what is wrong is named, with what to do, and no key is shown."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner, Result

from media_enricher import settings
from media_enricher.cli import app
from media_enricher.migrations import FOLDER
from supabase_local import LocalStack
from tests.waiting import wait_for


def doctor(*arguments: str) -> Result:
    for group in (settings.settings, settings.supabase_settings, settings.database_settings):
        group.cache_clear()
    return CliRunner().invoke(app, ["doctor", *arguments])


def diagnoses(*arguments: str) -> dict[str, dict[str, str]]:
    result = doctor(*arguments, "--json")
    return {each["name"]: each for each in json.loads(result.stdout)}


@pytest.fixture(autouse=True)
def _without_prefect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, supabase_environment: dict[str, str]
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))


def sql(stack: LocalStack, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(stack.database_url)
        try:
            for statement in statements:
                await connection.execute(statement)
            await connection.execute("notify pgrst, 'reload schema'")
        finally:
            await connection.close()

    asyncio.run(run())


@contextmanager
def changed(stack: LocalStack, change: str, back: str) -> Iterator[None]:
    """The database with a change that is taken back afterwards."""
    sql(stack, change)
    try:
        yield
    finally:
        sql(stack, back)


def wait_for_verdict(check: str, verdict: str) -> Any:
    """The diagnosis of a check once it is so: PostgREST notices a change a moment later."""

    def look() -> Any:
        diagnosis = diagnoses()[check]
        return diagnosis if diagnosis["verdict"] == verdict else None

    return wait_for(look, lambda: f"{check} is {diagnoses()[check]}")


class TestWithEverythingInPlace:
    def test_all_is_well(self, migrated_stack: LocalStack, make_bucket: Callable[[], str]) -> None:
        bucket = make_bucket()

        result = doctor("--bucket", bucket)

        assert result.exit_code == 0, result.stdout
        assert "✗" not in result.stdout
        assert f"✓ Bucket: {bucket} (private), empty" in result.stdout
        for check in ("Settings", "Project", "Secret key", "Tables", "Functions", "Grants"):
            assert f"✓ {check}" in result.stdout

    @pytest.mark.parametrize("kind", ["service_key", "service_role_jwt"])
    def test_both_kinds_of_service_key_are_taken(
        self, kind: str, migrated_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SUPABASE_SECRET_KEY", getattr(migrated_stack, kind))

        assert diagnoses()["Secret key"]["verdict"] == "ok"

    def test_looking_changes_nothing(self, migrated_stack: LocalStack) -> None:
        def contents() -> list[Any]:
            async def count() -> list[Any]:
                connection = await asyncpg.connect(migrated_stack.database_url)
                try:
                    return [
                        await connection.fetchval(f"select count(*) from {table}")
                        for table in (
                            "public.media_assets",
                            "public.media_enrich_runs",
                            "storage.buckets",
                            "storage.objects",
                        )
                    ]
                finally:
                    await connection.close()

            return asyncio.run(count())

        before = contents()
        doctor()

        assert contents() == before


class TestTheKey:
    @pytest.mark.parametrize(
        ("kind", "name"),
        [("anon_key", "a publishable key"), ("anon_jwt", "the legacy anon key")],
    )
    def test_a_browsers_key_in_its_place_is_named(
        self, kind: str, name: str, migrated_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = getattr(migrated_stack, kind)
        monkeypatch.setenv("SUPABASE_SECRET_KEY", key)

        result = doctor()

        assert result.exit_code == 1
        assert f"✗ Secret key: the key that is set as the secret key is {name}" in result.stdout
        assert "· Tables: needs: Secret key" in result.stdout
        assert key not in result.stdout

    def test_a_key_of_another_project_is_not_taken(
        self, migrated_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_of_another_project")

        result = doctor()

        assert result.exit_code == 1
        assert "✗ Secret key" in result.stdout
        assert "rejected the key" in result.stdout
        assert "sb_secret_of_another_project" not in result.stdout + result.stderr

    def test_a_service_key_given_to_browsers_is_an_alarm(
        self, migrated_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SUPABASE_PUBLISHABLE_KEY", migrated_stack.service_key)

        found = diagnoses()["Publishable key"]

        assert found["verdict"] == "failed"
        assert "bypasses every rule" in found["found"]
        assert "revoke it" in found["remedy"]

    def test_no_key_is_ever_shown(self, migrated_stack: LocalStack) -> None:
        secrets = {
            migrated_stack.service_key,
            migrated_stack.anon_key,
            migrated_stack.service_role_jwt,
            migrated_stack.anon_jwt,
            migrated_stack.database_url,
        }
        shown = doctor().stdout + doctor("--json").stdout

        assert not [secret for secret in secrets if secret in shown]


class TestTheDatabase:
    def test_without_migrations_it_says_to_migrate(self, stack: LocalStack) -> None:
        found = diagnoses()

        assert found["Secret key"]["verdict"] == "ok"
        assert "no table public.media_assets" in found["Tables"]["found"]
        assert "media-enricher migrate" in found["Tables"]["remedy"]
        assert found["Functions"] == {
            "name": "Functions",
            "verdict": "skipped",
            "found": "needs: Tables",
        }
        assert "20261123090000_media_assets.sql" in found["Migrations"]["found"]

    def test_migrations_that_the_supabase_cli_applied_count(self, stack: LocalStack) -> None:
        versions = ", ".join(f"('{file.name[:14]}')" for file in FOLDER.glob("*.sql"))
        with changed(
            stack,
            "create schema supabase_migrations;"
            "create table supabase_migrations.schema_migrations (version text primary key);"
            f"insert into supabase_migrations.schema_migrations values {versions}",
            "drop schema supabase_migrations cascade",
        ):
            assert diagnoses()["Migrations"]["verdict"] == "ok"

    @pytest.mark.parametrize(
        ("check", "change", "back", "found"),
        [
            pytest.param(
                "Functions",
                "alter function public.media_mark_gone rename to media_mark_lost",
                "alter function public.media_mark_lost rename to media_mark_gone",
                "there is no function public.media_mark_gone",
                id="a function is missing",
            ),
            pytest.param(
                "Functions",
                "revoke execute on function public.media_record_run(jsonb) from service_role",
                "grant execute on function public.media_record_run(jsonb) to service_role",
                "the service role may not call public.media_record_run",
                id="the service role may not call a function",
            ),
            pytest.param(
                "Tables",
                "alter table public.media_assets rename column blurhash to blur",
                "alter table public.media_assets rename column blur to blurhash",
                "blurhash",
                id="a column is missing",
            ),
            pytest.param(
                "Tables",
                "revoke select on public.media_enrich_runs from service_role",
                "grant select on public.media_enrich_runs to service_role",
                "the service role may not read public.media_enrich_runs",
                id="the service role may not read",
            ),
            pytest.param(
                "Publishable key",
                "grant update on public.media_assets to anon; grant select on public.media_assets"
                " to anon",
                "revoke update, select on public.media_assets from anon",
                "anyone may change public.media_assets",
                id="visitors may change rows",
            ),
            pytest.param(
                "Publishable key",
                "grant execute on function public.media_mark_gone to anon",
                "revoke execute on function public.media_mark_gone from anon",
                "anyone may call public.media_mark_gone",
                id="visitors may call a function",
            ),
            pytest.param(
                "Grants",
                "grant insert (bucket) on public.media_assets to authenticated",
                "revoke insert (bucket) on public.media_assets from authenticated",
                "authenticated may insert public.media_assets",
                id="users may write a column",
            ),
            pytest.param(
                "Grants",
                "alter table public.media_assets disable row level security",
                "alter table public.media_assets enable row level security",
                "row level security is off on public.media_assets",
                id="row level security is off",
            ),
        ],
    )
    def test_a_fault_is_found_by_name(
        self, check: str, change: str, back: str, found: str, migrated_stack: LocalStack
    ) -> None:
        with changed(migrated_stack, change, back):
            diagnosis = wait_for_verdict(check, "failed")

        assert found in diagnosis["found"]
        assert diagnosis["remedy"]
        wait_for_verdict(check, "ok")

    def test_a_wrong_database_url_is_told_without_its_password(
        self, migrated_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://postgres:hunter2@127.0.0.1:1/postgres")

        result = doctor()

        assert "✗ Migrations" in result.stdout
        assert "hunter2" not in result.stdout + result.stderr

    def test_without_a_database_url_there_is_nothing_to_check(
        self, migrated_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DATABASE_URL")

        result = doctor()

        assert result.exit_code == 0, result.stdout
        assert "· Migrations: DATABASE_URL is not set" in result.stdout


class TestStorage:
    def test_a_bucket_that_is_not_there_is_named(self, migrated_stack: LocalStack) -> None:
        result = doctor("--bucket", "Photos & more")

        assert result.exit_code == 1
        assert "✗ Bucket: there is no bucket 'Photos & more'" in result.stdout

    def test_a_public_snapshot_bucket_is_refused(
        self,
        migrated_stack: LocalStack,
        http: httpx.Client,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        http.post("/bucket", json={"name": "open-snapshots", "public": True}).raise_for_status()
        monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", "bucket:open-snapshots")

        found = diagnoses()["Snapshots"]

        assert found["verdict"] == "failed"
        assert "'open-snapshots' is public" in found["found"]

    def test_a_snapshot_folder_in_the_place_of_a_file_is_refused_and_a_new_one_not_made(
        self, migrated_stack: LocalStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", str(tmp_path / "file" / "snapshots"))
        assert "is a file" in diagnoses()["Snapshots"]["found"]

        monkeypatch.setenv("MEDIA_ENRICHER_SNAPSHOT", str(tmp_path / "new"))
        assert diagnoses()["Snapshots"]["verdict"] == "ok"
        assert not (tmp_path / "new").exists()


class TestTheServer:
    def test_one_that_is_not_there_is_the_only_failure_of_the_project(
        self, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DATABASE_URL")
        with socket.socket() as taken:  # bound, and not listening
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{port}")

            found = diagnoses()

        failed = [name for name, each in found.items() if each["verdict"] == "failed"]
        assert failed == ["Project"]
        assert f"127.0.0.1:{port}" in found["Project"]["found"]

    @pytest.mark.parametrize("path", ["/rest/v1", "/dashboard/project/abc"])
    def test_an_address_that_is_not_the_projects_own_is_told(
        self, path: str, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SUPABASE_URL", stack.url + path)

        failed = [each for each in diagnoses().values() if each["verdict"] == "failed"]

        assert "is not a Supabase project" in failed[0]["found"]
        assert "https://<ref>.supabase.co" in failed[0]["remedy"]

    def test_missing_settings_are_named_in_one_go(
        self, stack: LocalStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)  # no .env here
        monkeypatch.delenv("SUPABASE_URL")
        monkeypatch.setenv("MEDIA_ENRICHER_ENGINE_WORKERS", "none")

        found = diagnoses()["Settings"]["found"]

        assert "SUPABASE_URL is not set" in found
        assert "MEDIA_ENRICHER_ENGINE_WORKERS" in found
