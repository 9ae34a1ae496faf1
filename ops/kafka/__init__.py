"""Kafka's partitions: on which brokers their copies are, and moving them (requirements K1, K6, S1; ADR 53)."""
