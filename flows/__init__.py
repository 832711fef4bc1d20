"""The Prefect flows, one file each. What they share is in `media_enricher.orchestration`."""
