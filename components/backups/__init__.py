"""Backups: jobs that write them, the archive of Kafka, and the exporter that watches both (requirement D1)."""
