"""Create what a Prefect server needs before a run can start.

Each module makes one kind of resource, and leaves correct ones as they are; `setup_all` has
their order. Beside `orchestration/` and `blocks/`, this is where `media_enricher` imports Prefect.
"""
