"""Independent judges of what the probe finds."""
