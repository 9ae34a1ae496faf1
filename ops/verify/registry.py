"""Which check shows which requirement; what is not listed here is ``absent``."""

from __future__ import annotations

from ops.verify import gateway, kafka, prometheus, security, traces
from ops.verify.rows import Check

CHECKS: dict[str, Check] = {
    **kafka.CHECKS,
    **security.CHECKS,
    **gateway.CHECKS,
    **prometheus.CHECKS,
    **traces.CHECKS,
}
