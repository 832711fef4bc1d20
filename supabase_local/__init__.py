"""A Docker-free local Supabase: for demo, development and tests, and nothing else.

Real Postgres and real PostgREST; Storage and Auth are ours, over the same database, in the
likeness of the real ones. Everything is one process group behind one base URL.
"""

from supabase_local.errors import LocalStackError
from supabase_local.keys import User, Users
from supabase_local.stack import LocalStack

__all__ = ["LocalStack", "LocalStackError", "User", "Users"]
