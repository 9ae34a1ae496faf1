"""Checks of a maintenance that ask every panel of every dashboard; they share the answers."""

from __future__ import annotations

from ops.core.rows import Finding, listed
from ops.dashboards.command import rows
from ops.dashboards.panel_queries import latencies, quantile
from ops.maintenance.model import Tools

MEAN_S, P95_S = 3.0, 5.0
"""Requirement S2."""
TOP = 5


def panels_full(tools: Tools) -> Finding:
    """Panels without data, by dashboard."""
    finding, checked = Finding(), tools.dashboards.get()
    results = [result for _, dashboard_results in checked for result in dashboard_results]
    for dashboard, dashboard_results in checked:
        empty = [result.panel.title for result in dashboard_results if result.empty]
        finding.expect(not empty, f"{dashboard.name}: no data in {listed(empty)}")
    finding.figures.append(f"{sum(not result.empty for result in results)} of {len(results)} with data")
    return finding


def slow_queries(tools: Tools) -> Finding:
    """How long the answers took, and which took longest."""
    finding, checked = Finding(), tools.dashboards.get()
    times = latencies([result for _, dashboard_results in checked for result in dashboard_results])
    if not times:
        finding.wrong.append("no query was answered")
        return finding
    mean, slow = sum(times) / len(times), quantile(times, 0.95)
    finding.expect(mean <= MEAN_S, f"average is {mean:.2f} s, must be at most {MEAN_S:g} s")
    finding.expect(slow <= P95_S, f"P95 is {slow:.2f} s, must be at most {P95_S:g} s")
    finding.figures.append(f"{len(times)} queries, average {mean * 1000:.0f} ms, P95 {slow * 1000:.0f} ms")
    answered = [row for row in rows(checked) if row["latency_ms"] is not None]
    for row in sorted(answered, key=lambda row: -float(row["latency_ms"]))[:TOP]:
        finding.seen.append(f"{row['latency_ms']:.0f} ms: {row['dashboard']}, {row['panel']}: {row['query']}")
    return finding
