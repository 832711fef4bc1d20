"""Media Enricher: metadata for every object of a Supabase Storage bucket.

`flows/` and `tasks/`, above this package, hold the Prefect flows and tasks. In here, Prefect is in
`orchestration/`, `blocks/` and `setup/` alone.
"""
