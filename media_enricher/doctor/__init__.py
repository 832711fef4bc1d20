"""The doctor checks a whole set-up in order, and says for each failure what to do about it.

To add a check, write a function that returns what it found, or raises `Trouble`, and add a line to
`CHECKS`. No check writes anything or shows a key.
"""

from media_enricher.doctor.change_feed_check import change_feed_works
from media_enricher.doctor.checkup import Check, Diagnosis, Verdict, diagnose
from media_enricher.doctor.database_checks import clients_cannot_write, migrations_are_applied
from media_enricher.doctor.prefect_check import prefect_api_answers
from media_enricher.doctor.setup import Setup
from media_enricher.doctor.snapshot_check import snapshot_target_is_fit
from media_enricher.doctor.supabase_checks import (
    browsers_are_kept_out,
    bucket_lists,
    functions_work,
    key_is_service,
    settings_are_valid,
    tables_exist,
    url_answers,
)

CHECKS = (
    Check("Settings", settings_are_valid),
    Check("Project", url_answers, needs=("Settings",)),
    Check("Secret key", key_is_service, needs=("Project",)),
    Check("Tables", tables_exist, needs=("Secret key",)),
    Check("Functions", functions_work, needs=("Secret key", "Tables")),
    Check("Publishable key", browsers_are_kept_out, needs=("Project", "Tables")),
    Check("Bucket", bucket_lists, needs=("Secret key",)),
    Check("Snapshots", snapshot_target_is_fit, needs=("Secret key",)),
    Check("Migrations", migrations_are_applied),
    Check("Grants", clients_cannot_write, needs=("Migrations",)),
    Check("Change feed", change_feed_works, needs=("Migrations",)),
    Check("Prefect API", prefect_api_answers),
)

__all__ = ["CHECKS", "Check", "Diagnosis", "Setup", "Verdict", "diagnose"]
