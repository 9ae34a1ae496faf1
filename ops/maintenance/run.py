"""Runs the checks of a maintenance: some at a time, each within its own limit, and none stops the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.dashboards.registry import DASHBOARDS
from ops.core.context import Context
from ops.core.rows import Finding, Row, run_checks
from ops.dashboards.command import CHECK_RANGE, query_client
from ops.dashboards.command import check as query_dashboards
from ops.dashboards.panel_queries import span
from ops.evidence import files as evidence
from ops.evidence.drills import Drills
from ops.maintenance.model import Check, Lazy, Maintenance, Period, Result, Tools


def tools_of(context: Context, *, silence_age: timedelta, identity: Path | None) -> Tools:
    """What the checks use."""
    return Tools(
        context=context,
        now=datetime.now(UTC),
        silence_age=silence_age,
        identity=identity,
        dashboards=Lazy(lambda: query_dashboards(query_client(context), DASHBOARDS, span(CHECK_RANGE))),
        drills=Drills.of(context.kube),
    )


def run(
    period: Period, checks: Sequence[Check], tools: Tools, progress: Callable[[str], None] = lambda _: None
) -> Maintenance:
    """Look at everything; the results are in the order of the checks."""
    began, commit = time.monotonic(), evidence.commit()

    def bound(check: Check) -> Callable[[Context], Finding]:
        return lambda _: check.run(tools)

    by_id = {check.id: check for check in checks}
    rows: dict[str, Row] = {}
    # Those that may take long come last, so that the others do not wait for a free place.
    for seconds in sorted({check.seconds for check in checks}):
        names = [check.id for check in checks if check.seconds == seconds]
        looks = {name: bound(by_id[name]) for name in names}
        rows |= {row.id: row for row in run_checks(names, looks, tools.context, lambda row: progress(row.id), seconds)}
    return Maintenance(
        period=period,
        platform=tools.context.platform.platform,
        region=tools.context.platform.region,
        started=tools.now,
        seconds=time.monotonic() - began,
        commit=commit,
        results=tuple(Result(check=check, row=rows[name]) for name, check in by_id.items()),
    )
