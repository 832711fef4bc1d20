"""Media Enricher: metadata for every object of a Supabase Storage bucket.

This package is the know-how, and holds no Prefect but in `blocks/`, `gateway/` and `setup/`.
`flows/` and `tasks/`, above it, orchestrate.
"""

__version__ = "0.1.0"
