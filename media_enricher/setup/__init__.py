"""What a Prefect server has to know before a run can start, made as code and found again.

Each module makes one kind of resource, and leaves correct ones as they are; `setup_all` has
their order. Beside `gateway/` and `blocks/`, this is where `media_enricher` imports Prefect.
"""
