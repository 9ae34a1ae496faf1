"""The Grafana double's parts that need no server."""
