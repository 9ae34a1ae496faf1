"""Sizing of dashboards and reports per profile, as data."""

from __future__ import annotations

from dataclasses import dataclass

from components.k8s import Autoscale, Resources


@dataclass(frozen=True, kw_only=True)
class VisualizationSizing:
    """Sizing of dashboards and reports.

    Attributes:
        database: A PostgreSQL server.
        exporter: Its exporter.
        shared_buffers: Its memory for pages.
        connections: Connections that it takes.
        grafana: A Grafana.
        grafanas: Grafanas (at creation, where they are scaled).
        grafana_connections: Connections of one of them to the database, at most.
        grafana_autoscale: Bounds of their autoscaler.
        trace_reader: A Jaeger query that Grafana asks.
        trace_readers: How many of them.
        report: A job that makes a report.
        report_server: What shows the stored reports.
    """

    database: Resources
    exporter: Resources
    shared_buffers: str
    connections: int
    grafana: Resources
    grafanas: int = 2
    grafana_connections: int
    grafana_autoscale: Autoscale | None
    trace_reader: Resources
    trace_readers: int = 2
    report: Resources
    report_server: Resources


SMALL = VisualizationSizing(
    database=Resources(cpu="30m", memory="96Mi", memory_limit="384Mi"),
    exporter=Resources(cpu="10m", memory="24Mi", memory_limit="96Mi"),
    shared_buffers="48MB",
    connections=60,
    grafana=Resources(cpu="40m", memory="96Mi", memory_limit="384Mi"),
    grafana_connections=15,
    grafana_autoscale=None,
    trace_reader=Resources(cpu="20m", memory="64Mi", memory_limit="256Mi"),
    report=Resources(cpu="50m", memory="256Mi", memory_limit="1Gi"),
    report_server=Resources(cpu="10m", memory="64Mi", memory_limit="256Mi"),
)
"""One machine of two cores."""

PRODUCTION = VisualizationSizing(
    database=Resources(cpu="500m", memory="2Gi", memory_limit="4Gi"),
    exporter=Resources(cpu="20m", memory="64Mi", memory_limit="128Mi"),
    shared_buffers="512MB",
    connections=200,
    grafana=Resources(cpu="500m", memory="512Mi", memory_limit="2Gi"),
    grafana_connections=20,
    grafana_autoscale=Autoscale(minimum=2, maximum=6, cpu_percent=70),
    trace_reader=Resources(cpu="200m", memory="256Mi", memory_limit="1Gi"),
    report=Resources(cpu="200m", memory="512Mi", memory_limit="2Gi"),
    report_server=Resources(cpu="50m", memory="128Mi", memory_limit="512Mi"),
)
"""A region of its own; the one that stands by needs no less once it takes over, and people look at it before."""
