"""The HTTP trigger: frontends and servers start and watch enrichment through it.

It starts Prefect deployments and reads the table of runs; it never enriches by itself. Every
process of it is alike and keeps nothing: what must be agreed on is agreed on in Postgres.
"""
