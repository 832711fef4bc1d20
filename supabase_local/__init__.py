"""A local Supabase without Docker, for demo, development and tests only.

Postgres and PostgREST are the real ones. Storage and Auth are written here, over the same database,
and behave like the real ones as far as README.md says. All of it is one process group behind one
base URL. Start it with `LocalStack.start`.
"""

from supabase_local.errors import LocalStackError
from supabase_local.keys import User, Users
from supabase_local.stack import LocalStack

__all__ = ["LocalStack", "LocalStackError", "User", "Users"]
