"""Consumers: move telemetry from Kafka to the store that keeps it, one consumer group per destination."""
