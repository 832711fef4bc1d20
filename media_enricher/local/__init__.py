"""A Docker-free local Supabase: for demo, development and tests, and nothing else.

Real Postgres and real PostgREST; Storage and Auth are ours, over the same database, in the
likeness of the real ones. Everything is one process group behind one base URL.
"""

from media_enricher.local.errors import LocalStackError
from media_enricher.local.keys import User, Users
from media_enricher.local.stack import LocalStack

__all__ = ["LocalStack", "LocalStackError", "User", "Users"]
