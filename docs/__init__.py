"""Pages for people, and `docs.tools`, which writes and checks them."""
