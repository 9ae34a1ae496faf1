"""Which check shows which requirement; what is not listed here is ``absent``."""

from __future__ import annotations

from ops.verify import alerting, gateway, kafka, logs, masking, prometheus, sampling, security, traces
from ops.verify.rows import Check

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
}
