"""The Prefect flows, one file each. Their shared code is in `media_enricher.orchestration`."""
