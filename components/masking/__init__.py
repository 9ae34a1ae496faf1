"""Masking: personal data and secrets leave telemetry at the gateway, before Kafka (requirement O3). Rules are data."""
