"""The benchmark: the flow, a bare loop and a plain script on the same files, side by side."""
