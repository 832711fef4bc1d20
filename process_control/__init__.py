"""Processes and signals: children that end with their parent, and stops that are not lost.

Knows nothing of what it is used for, and imports nothing of this repository.

- `processes` starts child processes that do not outlive this one.
- `process_groups` ends a child together with all that it started.
- `signals` turns SIGINT and SIGTERM into an orderly end of this one.
- `preloader` forks processes that need not import anything, for what runs as `preloaded`.
- `stoppable` is the base of what is stopped at the end of a `with` block.
"""
