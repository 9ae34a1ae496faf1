"""Which check shows which requirement; what is not listed here is ``absent``."""

from __future__ import annotations

from ops.verify import (
    alerting,
    backups,
    gateway,
    kafka,
    logs,
    masking,
    prometheus,
    reading,
    regions,
    sampling,
    security,
    traces,
)
from ops.verify.rows import Check

_NOT_WHOLE_YET = ("S2",)
"""S2 wants 100,000 points and 10,000 spans a second."""
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
    **backups.CHECKS,
    **regions.CHECKS,
    **{name: check for name, check in reading.CHECKS.items() if name not in _NOT_WHOLE_YET},
}
