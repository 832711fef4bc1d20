"""A Docker-free local Supabase: for demo, development and tests, and nothing else."""
