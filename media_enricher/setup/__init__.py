"""What a Prefect server has to know before a run can start, made as code and found again.

Each module makes one kind of thing, and leaves alone what is there and right; `everything` has
their order. Beside `orchestration/` and `blocks/`, this is where `media_enricher` imports Prefect.
"""
