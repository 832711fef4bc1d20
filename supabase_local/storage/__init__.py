"""A Storage server that behaves like Supabase's.

Rows live in `storage.buckets` and `storage.objects` of the stack's Postgres, bytes in a folder.
Paths, answers, errors and status codes are those of supabase/storage 1.11, oddities included.
"""
