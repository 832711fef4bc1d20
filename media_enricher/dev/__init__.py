"""What `media-enricher up` starts beside the local Supabase, for development and tests.

A Prefect server, the set-up, a worker and the gateway, each as a child process; and
`DevEnvironment`, which starts all of them. Nothing here runs in production.
"""
