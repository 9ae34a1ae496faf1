"""Which check shows which requirement; what is not listed here is ``absent``."""

from __future__ import annotations

from ops.checks import (
    alerting,
    audit,
    backups,
    gateway,
    incident,
    kafka,
    logs,
    masking,
    prometheus,
    regions,
    sampling,
    scaling,
    security,
    traces,
    visualization,
)
from ops.core.rows import Check

CHECKS: dict[str, Check] = {
    **kafka.CHECKS,
    **security.CHECKS,
    **gateway.CHECKS,
    **prometheus.CHECKS,
    **logs.CHECKS,
    **masking.CHECKS,
    **sampling.CHECKS,
    **traces.CHECKS,
    **alerting.CHECKS,
    **incident.CHECKS,
    **backups.CHECKS,
    **regions.CHECKS,
    **visualization.CHECKS,
    **scaling.CHECKS,
    **audit.CHECKS,
}
ALONE = frozenset({"S2"})
"""Rows that measure how long people wait: checked last, while no other check asks the same servers."""
