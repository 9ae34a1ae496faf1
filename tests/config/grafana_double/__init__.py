"""The Grafana double on a real PostgreSQL, a real slapd and a real Prometheus."""
