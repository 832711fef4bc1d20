"""`make bench-peers`: the flow beside img2dataset and Daft, on the same photographs."""
