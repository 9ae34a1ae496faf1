"""M1: who reached for what is recorded, within a minute and without a gap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from components.audit.component import WORKLOAD
from ops.audit.reading import DAYS, TOPIC, read
from ops.audit.tries import LIMIT_S, attempts, recorded
from ops.core.context import Context
from ops.core.rows import Check, Finding
from services.audit.records import GAP
from services.audit.settings import Source

_DAY_MS: Final = 86_400_000
_BACK: Final = timedelta(days=2)


def m1(context: Context) -> Finding:
    """One allowed and one refused access at each source, and the chain of the last days."""
    finding = Finding()
    finding.drill("audit-told", show=("slowest s",))
    if not context.kube.pods(WORKLOAD):
        finding.wrong.append(f"no pod of {WORKLOAD} runs: the audit log is not written")
        return finding
    retention = context.kafka.topic_settings([TOPIC])[TOPIC].get("retention.ms", "")
    finding.expect_equal(f"retention.ms of {TOPIC}", retention, str(DAYS * _DAY_MS))
    tried = attempts(context)
    seconds = recorded(context, tried)
    for name, taken in seconds.items():
        if taken is None:
            finding.wrong.append(f"{name}: not in the audit log within {LIMIT_S:.0f} s")
    known = [taken for taken in seconds.values() if taken is not None]
    if known:
        finding.figures.append(f"{len(known)} accesses recorded within {max(known):.1f} s")
    log = read(context.platform, datetime.now(UTC) - _BACK)
    for link in log.broken:
        finding.wrong.append(f"chain of {link.region}, {link.day} number {link.sequence}: {link.problem}")
    if log.unreadable:
        finding.wrong.append(f"{log.unreadable} records have an unknown version")
    gaps = [record for record in log.accesses if record.source is Source.AUDIT and record.action == GAP]
    finding.figures.append(f"{len(log.records)} records in 2 days, {len(gaps)} gaps recorded, chain intact")
    finding.seen.extend(context.platform.left_out("audit.cluster"))
    finding.seen.extend(f"gap {gap.time:%m-%d %H:%M} {gap.part}: {gap.detail.get('reason', '')}" for gap in gaps[-5:])
    return finding


CHECKS: dict[str, Check] = {"M1": m1}
