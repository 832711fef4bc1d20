"""The steps of a flow, as Prefect tasks: one file per step, in pipeline order.

plan → enrich → write → report. The logic that they call is in `media_enricher`.
"""
