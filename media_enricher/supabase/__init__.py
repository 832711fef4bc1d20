"""Everything that crosses the wire to Supabase: one client, one downloader, one retry policy."""
