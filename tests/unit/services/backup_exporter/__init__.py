"""The backup exporter."""
