"""Alert events: what Prometheus raised and what Alertmanager notified, as records in Kafka."""
