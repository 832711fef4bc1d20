"""The steps of a flow, as Prefect tasks: one file per step, in pipeline order.

plan → enrich → write → report. What they know how to do lives in `media_enricher`.
"""
