"""Logs: from Kafka into the search cluster."""
