"""The first minutes of a platform's life: its parts start one after the other, and nobody is to be called for that.

What tells the age of a platform is the oldest sample that any of its Prometheus replicas holds. It survives restarts,
so a platform is young once; and one old replica is enough, so a replica that lost its volume is not taken for a new
platform. If such a one is alone, since the others are down, it is: then Critical alerts still tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from components.alerting.escalation import NEVER
from components.rules import Alert, Inhibition, RuleGroup, Severity

YOUNG_S: Final = 600
"""Age at which all parts are up (a cold ``pulumi up`` takes some 230 s), and rates over five minutes have forgotten
how they started."""

STARTING: Final = RuleGroup(
    name="platform-starting",
    # It has to be there before the first alert about a part that is not up, which takes a minute at least.
    interval="5s",
    rules=(
        Alert(
            name="PlatformStarting",
            # A replica that holds nothing yet says that its oldest sample is in the far future.
            expr=f'time() - min(prometheus_tsdb_lowest_timestamp_seconds{{job=~"prometheus-.+"}}) < {YOUNG_S}',
            # A new replica has seen the others by then.
            for_="10s",
            severity=Severity.LOW,
            summary=f"The platform is less than {YOUNG_S // 60} minutes old: its parts are starting",
            description="Until it ends, nobody is notified of alerts about the platform's own parts, except Critical "
            "ones. What still fires then is told at once.",
            annotations={
                "summary_ja": f"プラットフォームは稼働開始から {YOUNG_S // 60} 分未満です (各部を起動中)",
                "description_ja": "終わるまで、自身の部品に関するアラートは緊急のものを除いて通知しません。"
                "その時点で続いているものは直ちに通知します。",
            },
        ),
    ),
)
(_YOUNG,) = STARTING.alerts

OBSERVED: Final = frozenset(
    {
        "SloBurnHigh",
        "SloBurnMedium",
        "SloBurnLow",
        "SpanErrorRateHigh",
        "SpanLatencyHigh",
        "TelemetryStale",
        "TelemetryAbsent",
    }
)
"""Alerts about what the platform watches, whose rules have no fixed label ``layer``: its age is no excuse for them."""


def startup_inhibition(alerts: Iterable[Alert]) -> tuple[Inhibition, ...]:
    """What keeps alerts about the platform's own parts quiet while it is young; nothing if no rule tells its age.

    It is the one inhibition whose source is less urgent than its targets: it ends by itself, and whoever brings up a
    platform is there. Alerts about layers, Critical ones, and those that fire when all is well are not its targets.

    Args:
        alerts: All alerts of the platform; twins are left out, they follow their originals.
    """
    listed = list(alerts)
    targets = tuple(alert.name for alert in listed if _own_part(alert))
    if not targets or _YOUNG.name not in {alert.name for alert in listed}:
        return ()
    reason = "The parts of a new platform start one after the other, and whoever brings it up is there."
    return (Inhibition(source=(_YOUNG.name,), targets=targets, reason=reason),)


def _own_part(alert: Alert) -> bool:
    return (
        not alert.original
        and alert.severity is not Severity.CRITICAL
        and "layer" not in alert.labels
        and alert.name not in NEVER | OBSERVED | {_YOUNG.name}
    )
