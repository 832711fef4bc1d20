"""What flows and tasks share of Prefect: state hooks, heartbeat, final states, resources, shards.

No `@flow` and no `@task` is here: they are in `flows/` and `tasks/`, which import from here, and
never the other way round.
"""
