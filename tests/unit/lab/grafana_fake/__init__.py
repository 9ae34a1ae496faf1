"""The Grafana fake's parts that need no server."""
