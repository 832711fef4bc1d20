"""What writes the reference pages and checks all pages. Nothing here needs a server."""
