"""Dashboards: what they show, as data, and Grafana's files made of it (requirements G2 to G4)."""
