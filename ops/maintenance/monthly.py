"""Every month: were restores and failovers tried, is it still fast, does what is pinned run?"""

from __future__ import annotations

from datetime import timedelta

from components.versions import IMAGES
from ops.maintenance import dashboards, drills
from ops.maintenance.model import Check

RESTORE_DRILL = "backups-restored"
DR_DRILL = "region-drill"
"""Evidence of a failover to the other region and back; `ops` reads it, the drill writes it."""
LATENCY_DRILL, THROUGHPUT = "alert-latency-both", ("bench-metrics", "bench-traces")
MONTH, QUARTER = timedelta(days=35), timedelta(days=100)

MONTHLY: tuple[Check, ...] = (
    Check(
        id="restore-drill",
        what="backups were restored and compared in the last month",
        query=f"evidence/{RESTORE_DRILL}",
        limit="passed, at most 35 days ago",
        remediation="`ops drill restore`, or by hand: docs/operations/backups.md, 'The drill of a month'",
        run=drills.fresh(RESTORE_DRILL, "Restore drill", MONTH),
    ),
    Check(
        id="dr-drill",
        what="a failover to the other region and back was tried in the last month",
        query=f"evidence/{DR_DRILL}",
        limit="passed, at most 35 days ago",
        remediation="do it (requirement D3); until then nobody knows RTO and RPO",
        run=drills.fresh(DR_DRILL, "DR drill", MONTH),
    ),
    Check(
        id="queries",
        what="dashboards answer in time",
        query="Thanos Query: the queries of all panels, timed; the slowest are named",
        limit=f"average {dashboards.MEAN_S:g} s, P95 {dashboards.P95_S:g} s (requirement S2)",
        remediation="make the slowest a recording rule, or shorten its range",
        run=dashboards.slow_queries,
        seconds=110,
    ),
    Check(
        id="notifications-quick",
        what="how long notifications take was measured in the last quarter",
        query=f"evidence/{LATENCY_DRILL}",
        limit="passed, at most 100 days ago",
        remediation="`make e2e` measures it; what it says: docs/measured.md",
        run=drills.fresh(LATENCY_DRILL, "Drill of alert latency", QUARTER),
    ),
    *(
        Check(
            id=name,
            what=f"the throughput of {name.removeprefix('bench-')} was measured in the last quarter",
            query=f"evidence/{name}",
            limit="passed, at most 100 days ago",
            remediation=f"`make bench SIGNAL={name.removeprefix('bench-')}`; compare with docs/measured.md",
            run=drills.fresh(name, "Bench", QUARTER),
        )
        for name in THROUGHPUT
    ),
    Check(
        id="versions",
        what="every container runs the version that is pinned here",
        query="Kubernetes: images of all pods, against components/versions.py",
        limit="all",
        remediation="`pulumi up`; a newer release goes into components/versions.py by review, with its tests",
        run=drills.versions(IMAGES),
    ),
)
"""Checks of each month, besides those of each week and each day."""
