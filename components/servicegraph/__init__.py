"""Service graph: the map of calls between the observed services, from all spans, for Prometheus and for Jaeger."""
