"""Metrics of the reports: how old the newest one is, when the next is missing, how the last run ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.report_server.poller import ReportPoller, Snapshot
from services.report_server.settings import KINDS


class ReportCollector:
    """A collector that reads the poller at each scrape."""

    def __init__(self, poller: ReportPoller, most_age_h: Mapping[str, float], registry: CollectorRegistry) -> None:
        self._poller, self._most_age_h = poller, most_age_h
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing: names are known only at a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of the last poll; nothing about reports before the first one that succeeded."""
        snapshot = self._poller.snapshot
        yield GaugeMetricFamily(
            "report_server_read_timestamp_seconds",
            "When the object storage was last read; before the first time: when the report server began",
            value=snapshot.at or self._poller.began,
        )
        yield CounterMetricFamily(
            "report_server_read_failures", "Polls of the object storage that failed", value=self._poller.failures
        )
        if snapshot.at:
            yield from _reports(snapshot, self._most_age_h)


def _reports(snapshot: Snapshot, most_age_h: Mapping[str, float]) -> Iterator[Metric]:
    def gauge(name: str, help_text: str, values: Mapping[str, float]) -> Metric:
        family = GaugeMetricFamily(name, help_text, labels=["kind"])
        for kind, value in values.items():
            family.add_metric([kind], value)
        return family

    newest = {kind: report for kind in KINDS if (report := snapshot.newest(kind))}
    yield gauge(
        "report_stored",
        "Reports in the object storage",
        {kind: sum(report.kind == kind for report in snapshot.reports) for kind in KINDS},
    )
    yield gauge(
        "report_newest_timestamp_seconds",
        "When the report of the latest period was written; missing where there is none",
        {kind: report.written for kind, report in newest.items()},
    )
    yield gauge(
        "report_newest_period_end_timestamp_seconds",
        "End of the latest period that has a report",
        {kind: report.end for kind, report in newest.items()},
    )
    yield gauge(
        "report_due_timestamp_seconds",
        "When the next report is missing",
        {kind: snapshot.due(kind, most_age_h[kind]) for kind in KINDS},
    )
    yield gauge(
        "report_last_run_failed",
        "Whether the last run ended without a report that is stored and sent; missing where there was none",
        {kind: float(run.failed) for kind, run in snapshot.runs.items()},
    )
    yield gauge(
        "report_last_run_timestamp_seconds",
        "When the last run ended",
        {kind: run.ended for kind, run in snapshot.runs.items()},
    )
