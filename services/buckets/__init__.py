"""Polls of object storage: what the report server and the backup exporter have in common."""
