"""Readers of the metadata that cameras, editors and people leave in files, whatever the format."""
