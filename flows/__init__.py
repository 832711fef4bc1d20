"""What runs: the flows, and the hooks that keep the run table true."""
