"""The dependency map: who calls whom, how often, how well, and how fast, from every span before sampling.

Runs as ``python3 -m services.service_graph --config FILE``. It reads spans from Kafka, offers the map to Prometheus
and writes it for Jaeger's *System Architecture* page.
"""
