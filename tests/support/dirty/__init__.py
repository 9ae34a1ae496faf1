"""Dirty and clean records as OTLP, and what comes out of a gateway (requirement O3)."""
