"""Dashboards without Grafana: the same panels from live queries, on one page or as a list of what answers."""
