"""Check the Supabase project: its URL, its keys, the tables, the functions and the bucket."""

from __future__ import annotations

from datetime import date

import msgspec

from media_enricher.doctor.checkup import NothingToCheck
from media_enricher.doctor.keys import read_key
from media_enricher.doctor.setup import Answer, Setup, Trouble
from media_enricher.models import EnrichRun, MediaAsset
from media_enricher.settings import SettingsError
from media_enricher.supabase.urls import bucket_url

MIGRATE = (
    "Run `media-enricher migrate` (it needs DATABASE_URL), or copy the files of sql/ into "
    "supabase/migrations/ and run `supabase db push`"
)
GET_THE_KEY = (
    "Set SUPABASE_SECRET_KEY to a secret key (sb_secret_…), or SUPABASE_SERVICE_ROLE_KEY to the "
    "legacy service_role key. Both are in the dashboard under Project Settings, API Keys"
)

TABLES = {
    "media_assets": [field.name for field in msgspec.structs.fields(MediaAsset)],
    "media_enrich_runs": [field.name for field in msgspec.structs.fields(EnrichRun)],
}

_NO_ID = "00000000-0000-0000-0000-000000000000"
_SELECTION = {
    "p_bucket": "",
    "p_prefix": "",
    "p_mode": "missing",
    "p_depth": "header",
    "p_enricher_version": "1",
    "p_transient_codes": "{}",
    "p_max_attempts": "1",
}
FUNCTIONS = {
    "media_pending_objects": {**_SELECTION, "p_after": "", "p_limit": "1"},
    "media_pending_page": {**_SELECTION, "p_after": "", "p_limit": "1"},
    "media_count_pending": {**_SELECTION, "p_limit": "1"},
    "media_split_pending": {**_SELECTION, "p_shards": "1"},
    "media_mark_gone": {"p_bucket": "", "p_prefix": ""},
    "media_piece_ends": {
        "p_bucket": "",
        "p_prefix": "",
        "p_after": "",
        "p_until": "",
        "p_rows": "1",
        "p_most": "1",
    },
    "media_compare_piece": {**_SELECTION, "p_after": "", "p_until": "", "p_rows": "1"},
    "media_next_comparison": {"p_bucket": "", "p_transient_codes": "{}", "p_max_attempts": "1"},
    "media_open_part": {"p_run_id": _NO_ID, "p_least": "0"},
    "media_record_part": {
        "p_run_id": _NO_ID,
        "p_part": "0",
        "p_bucket": "",
        "p_assets": "[]",
        "p_transient_codes": "{}",
        "p_bytes_read": "0",
    },
    "media_give_up_parts": {"p_bucket": "", "p_silence_seconds": "60"},
    "media_forget_parts": {"p_run_id": _NO_ID, "p_parts": "{}"},
    "media_purge_run_records": {"p_keep_days": "90"},
    "media_recount_piece": {"p_bucket": ""},
    "media_record_run": {"p_run": "{}"},
    "media_run_failures": {"p_run_id": _NO_ID},
    "media_request_run": {"p_request": "{}", "p_limits": "{}"},
    "media_start_run": {"p_request_id": _NO_ID, "p_run_id": _NO_ID, "p_invocation_id": _NO_ID},
    "media_release_request": {"p_request_id": _NO_ID},
    "media_settle_invocation": {
        "p_invocation_id": _NO_ID,
        "p_http_status": "200",
        "p_reason": "",
    },
    "media_requested_objects": {
        "p_bucket": "",
        "p_prefix": "",
        "p_depth": "header",
        "p_enricher_version": "1",
        "p_transient_codes": "{}",
        "p_max_attempts": "1",
        "p_limit": "1",
    },
    "media_fulfil_requests": {
        "p_bucket": "",
        "p_prefix": "",
        "p_paths": "{}",
        "p_sequence": "0",
        "p_sequences": "{}",
        "p_run_id": _NO_ID,
        "p_idle": "{}",
    },
    "media_finish_requests": {"p_run_id": _NO_ID, "p_bucket": "", "p_prefix": ""},
    "media_count_unauthenticated": {"p_requests": "{}"},
    "media_was_told": {"p_run_id": _NO_ID, "p_user_id": ""},
    "media_tenant_buckets": {"p_tenant_id": _NO_ID},
    "media_watch_buckets": {"p_buckets": "{}"},
}
"""The internal functions, with arguments that match nothing. They are called with GET, which
PostgREST runs in a read-only transaction, so that even a mistake here could not write."""

_NO_SUCH_TABLE = {"PGRST205", "42P01"}
_NO_SUCH_COLUMN = {"42703", "PGRST204"}
_NO_SUCH_FUNCTION = {"PGRST202", "42883"}
_NOT_ALLOWED = "42501"


def settings_are_valid(setup: Setup) -> str:
    """All required settings are present and valid."""
    problems = []
    for read in (lambda: setup.supabase, lambda: setup.settings):
        try:
            read()
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise Trouble(
            "; ".join(problems), "Correct this in the environment, or in .env in the current folder"
        )
    return setup.supabase.url


def url_answers(setup: Setup) -> str:
    """The URL belongs to a Supabase project."""
    answer = setup.ask("GET", "/rest/v1/")
    if answer.status in {502, 503, 504, 540}:
        raise Trouble(
            f"{setup.supabase.url} returned status {answer.status}: the project is paused or "
            f"starting",
            "Restore the project in the dashboard, or wait a minute",
        )
    if answer.body is None or answer.status not in {200, 401, 403}:
        raise _not_a_project(setup, answer)
    return "responds"


def _not_a_project(setup: Setup, answer: Answer) -> Trouble:
    return Trouble(
        f"{setup.supabase.url} is not a Supabase project (status {answer.status})",
        "Set SUPABASE_URL to the project's API URL, https://<ref>.supabase.co, without a path. "
        "The URL of the dashboard does not work",
    )


def key_is_service(setup: Setup) -> str:
    """The key belongs to the service role, and the project accepts it."""
    facts = read_key(setup.service_key)
    if facts.is_service is False:
        raise Trouble(f"the key that is set as the secret key is {facts.what}", GET_THE_KEY)
    if facts.expired_at is not None:
        raise Trouble(f"{facts.what} expired on {_day(facts.expired_at)}", GET_THE_KEY)
    answer = setup.ask("GET", "/rest/v1/media_assets?select=path&limit=0", key=setup.service_key)
    if answer.status == 401:
        raise Trouble(
            f"{setup.supabase.url} rejected the key, which is {facts.what}: {answer.message}",
            f"{GET_THE_KEY}. It must belong to this project and must not be revoked",
        )
    if answer.status == 404 and answer.code not in _NO_SUCH_TABLE:
        raise _not_a_project(setup, answer)
    if answer.status >= 500:
        _expect(answer, "a request with the secret key")
    if facts.is_service is None:
        raise Trouble(f"the key that is set as the secret key is {facts.what}", GET_THE_KEY)
    return f"accepted: {facts.what}"


def tables_exist(setup: Setup) -> str:
    """Both tables exist with every column that runs write, and the service role may use them."""
    for table, columns in TABLES.items():
        answer = setup.ask(
            "GET",
            f"/rest/v1/{table}",
            key=setup.service_key,
            params={"select": ",".join(columns), "limit": "0"},
        )
        if answer.code in _NO_SUCH_TABLE:
            raise Trouble(f"there is no table public.{table}", MIGRATE)
        if answer.code in _NO_SUCH_COLUMN:
            raise Trouble(f"the table public.{table} is out of date: {answer.message}", MIGRATE)
        if answer.code == _NOT_ALLOWED:
            raise Trouble(
                f"the service role may not read public.{table}: {answer.message}",
                f"{MIGRATE}. The migrations grant the right",
            )
        _expect(answer, f"reading public.{table}")
    return ", ".join(TABLES)


def functions_work(setup: Setup) -> str:
    """All internal functions exist, and the service role may call them."""
    for function, arguments in FUNCTIONS.items():
        answer = setup.ask(
            "GET", f"/rest/v1/rpc/{function}", key=setup.service_key, params=arguments
        )
        if answer.code in _NO_SUCH_FUNCTION:
            raise Trouble(
                f"there is no function public.{function} with the arguments of this version",
                f"{MIGRATE}. If you have just done that, PostgREST still has the old schema: run "
                "the SQL `notify pgrst, 'reload schema'`",
            )
        if answer.code == _NOT_ALLOWED:
            raise Trouble(
                f"the service role may not call public.{function}",
                f"{MIGRATE}. The migrations grant the right",
            )
        if answer.status >= 500:
            _expect(answer, f"calling public.{function}")
    return f"{len(FUNCTIONS)} functions, callable"


def browsers_are_kept_out(setup: Setup) -> str:
    """The publishable key alone, without signing in, gives no access."""
    key = setup.anon_key
    if key is None:
        raise NothingToCheck("SUPABASE_PUBLISHABLE_KEY (or SUPABASE_ANON_KEY) is not set")
    facts = read_key(key)
    if facts.is_service:
        raise Trouble(
            f"the key that is set as the publishable key is {facts.what}, which bypasses every "
            f"rule",
            "Set SUPABASE_PUBLISHABLE_KEY to the publishable key. If the other key was ever in a "
            "browser, revoke it",
        )
    for table in TABLES:
        _expect_kept_out(setup, key, table)
    for function, arguments in FUNCTIONS.items():
        answer = setup.ask("GET", f"/rest/v1/rpc/{function}", key=key, params=arguments)
        if answer.code != _NOT_ALLOWED and answer.code not in _NO_SUCH_FUNCTION:
            _refuse_bad_key(answer)
            raise Trouble(
                f"anyone may call public.{function} with the publishable key",
                f"Run the SQL `revoke execute on function public.{function} from public, anon, "
                "authenticated`",
            )
    return "without signing in, nothing can be read, written or called"


def _expect_kept_out(setup: Setup, key: str, table: str) -> None:
    """Require that reading returns no row, and that changing or deleting is refused.

    The changes name an id that does not exist.
    """
    of_none = {"id": f"eq.{_NO_ID}"}
    attempts = {
        "read": setup.ask("GET", f"/rest/v1/{table}?select=id&limit=1", key=key),
        "delete from": setup.ask("DELETE", f"/rest/v1/{table}", key=key, params=of_none),
        "change": setup.ask(
            "PATCH", f"/rest/v1/{table}", key=key, params=of_none, json={"bucket": "none"}
        ),
    }
    for verb, answer in attempts.items():
        is_empty_read = verb == "read" and answer.is_ok and answer.body == []
        if answer.code == _NOT_ALLOWED or is_empty_read:
            continue
        _refuse_bad_key(answer)
        raise Trouble(
            f"anyone may {verb} public.{table} with the publishable key",
            f"Run the SQL `revoke all on public.{table} from anon`, and keep row level security on",
        )


def _refuse_bad_key(answer: Answer) -> None:
    if answer.status == 401:
        raise Trouble(
            f"the project rejected the publishable key: {answer.message}",
            "Set SUPABASE_PUBLISHABLE_KEY to the publishable key of this project",
        )
    if answer.status >= 500:
        _expect(answer, "a request with the publishable key")


def bucket_lists(setup: Setup) -> str:
    """The bucket exists and can be listed; without a bucket, Storage responds."""
    if setup.bucket is None:
        answer = setup.ask("GET", "/storage/v1/bucket", key=setup.service_key)
        _expect(answer, "listing the buckets")
        return f"Storage responds; it has {len(answer.body)} buckets (check one with --bucket NAME)"
    answer = describe_bucket(setup, setup.bucket)
    if answer.status == 404:
        raise Trouble(
            f"there is no bucket {setup.bucket!r}",
            "Check its name (it is case-sensitive), or create it in the dashboard under Storage",
        )
    _expect(answer, f"reading the bucket {setup.bucket!r}")
    listing = setup.ask(
        "POST",
        bucket_url("", setup.bucket).replace("/bucket/", "/object/list/"),
        key=setup.service_key,
        json={"prefix": "", "limit": 1, "offset": 0},
    )
    _expect(listing, f"listing the bucket {setup.bucket!r}")
    kind = "public" if answer.body.get("public") else "private"
    return f"{setup.bucket} ({kind})" + ("" if listing.body else ", empty")


def describe_bucket(setup: Setup, name: str) -> Answer:
    """What Storage says about a bucket; status 404 if it does not exist."""
    return setup.ask("GET", bucket_url("", name), key=setup.service_key)


def _expect(answer: Answer, doing: str) -> None:
    if not answer.is_ok:
        raise Trouble(
            f"{doing} returned status {answer.status} {answer.code}: {answer.message}".strip(": "),
            "Check the project's logs in the dashboard, and try again",
        )


def _day(moment: date) -> str:
    return f"{moment:%Y-%m-%d}"
