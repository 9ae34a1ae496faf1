"""Grafana: where people look at dashboards, and what they find there (requirements G1 to G5)."""
