"""Backups: jobs that write them, the continuous archive of Kafka, and the keeper that watches both (requirement D1)."""
