"""The Grafana fake on a real PostgreSQL, a real slapd and a real Prometheus."""
