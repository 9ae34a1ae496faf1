"""Prometheus: keeps the metrics, twice; Thanos Query answers from both as one."""
