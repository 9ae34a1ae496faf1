"""Which alerts keep quiet while their cause is known (requirement A2), with reasons, as data.

An alert is kept quiet by another one only if everybody who is spared it hears of the cause: the source is at least as
urgent (all but one, which ends by itself: `STARTING`), and no chain of inhibitions leads back to itself. What is kept
quiet is still in Prometheus, in ``alerts-raw`` and in ``ops alerts``, and on-call is notified of it once the source is
gone, if it still fires then.

The first minutes of a platform's life are a cause too: its parts start one after the other, and nobody is to be called
for that. What tells the age of a platform is the oldest sample that any of its Prometheus replicas holds. It survives
restarts, so a platform is young once; and one old replica is enough, so a replica that lost its volume is not taken for
a new platform. If such a one is alone, since the others are down, it is: then Critical alerts still tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from components.alerting.escalation import NEVER, SUFFIX
from components.rules import Alert, Inhibition, RuleGroup, Severity

YOUNG_S: Final = 600
"""Age at which all parts are up (evidence of ``up-steps`` has the time of a cold ``pulumi up``), and rates over five
minutes have forgotten how they started."""

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
        "SloEventsAbsent",
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


PLATFORM: Final[tuple[Inhibition, ...]] = (
    Inhibition(
        source=("KafkaBrokerDown",),
        targets=("TargetDown",),
        equal=("job", "instance"),
        reason="Both see the same scrape fail; the one about the broker says what is at stake.",
    ),
    Inhibition(
        source=("JaegerCollectorDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="It says that all collectors are gone, which these say of each.",
    ),
    Inhibition(
        source=("KafkaTooFewBrokers",),
        targets=("KafkaOfflinePartitions", "KafkaUnderMinIsr"),
        reason="Brokers that are gone took leaders and copies along; one phone call is enough.",
    ),
    Inhibition(
        source=("KafkaTooFewBrokers",),
        targets=("KafkaLagUnknown", "AlertEventsStalled", "TelemetryStale", "SloEventsAbsent"),
        reason="Kafka takes nothing and tells nothing, so nothing that comes through it is known.",
    ),
    Inhibition(
        source=("TelemetryStale",),
        targets=("SloEventsAbsent",),
        equal=("layer",),
        reason="Nothing comes of the whole layer, its objectives' events among it.",
    ),
    Inhibition(
        source=("KafkaOfflinePartitions",),
        targets=("KafkaUnderMinIsr", "KafkaUnderReplicated"),
        reason="A partition without a leader has lost its copies as well; one phone call is enough.",
    ),
    Inhibition(
        source=("KafkaUnderMinIsr",),
        targets=("KafkaUnderReplicated",),
        reason="The first counts the worse half of what the second counts.",
    ),
    Inhibition(
        source=("KafkaBrokerDown",),
        targets=("KafkaUnderReplicated",),
        reason="Every partition of a stopped broker lacks a copy. If a second one is missing, KafkaUnderMinIsr tells.",
    ),
    Inhibition(
        source=("KafkaTooFewBrokers", "KafkaOfflinePartitions", "KafkaUnderMinIsr"),
        targets=("GatewayQueueFilling",),
        reason="Kafka refuses writes, so the queues fill. If clients are refused, GatewayRefusesTelemetry still tells.",
    ),
    Inhibition(
        source=("GatewayRefusesTelemetry",),
        targets=("AgentQueueFull",),
        reason="What the gateway refuses waits on every node: one notification instead of one for each node.",
    ),
    Inhibition(
        source=("KafkaConsumerGone",),
        targets=("KafkaConsumerLag",),
        equal=("consumergroup",),
        reason="A group without a consumer falls behind.",
    ),
    Inhibition(
        source=("SamplerDown",),
        targets=("SamplerLag",),
        reason="Samplers that read nothing fall behind.",
    ),
    Inhibition(
        source=("JaegerCollectorDown",),
        targets=("SamplerExportFails", "SamplerLag"),
        reason="The samplers have nobody to hand traces to; they wait, and fall behind.",
    ),
    Inhibition(
        source=("SearchClusterRed",),
        targets=("JaegerWritesFail", "JaegerQueryErrors", "LogIndexerStalled", "ServiceGraphStalled"),
        reason="The cluster refuses writes and does not find everything; all of these live from it.",
    ),
    Inhibition(
        source=("SearchNodeMissing",),
        targets=("SearchClusterYellow",),
        reason="The copies that are missing were on the node that is missing.",
    ),
)
"""What concerns the alerts of several components, and what no component says beside its own rules (``INHIBITIONS``)."""

_URGENCY: Final = {severity: number for number, severity in enumerate(Severity)}
"""0 is the most urgent."""


def collected(groups: Iterable[RuleGroup], inhibitions: Iterable[Inhibition] = PLATFORM) -> tuple[Inhibition, ...]:
    """Inhibitions that were checked against the alerts, with the escalated twins of the targets added.

    To those that are handed over, the one of the platform's first minutes is added (``components.alerting.startup``).

    Args:
        groups: All groups of the platform, with the twins (``components.alerting.escalation.escalated``).
        inhibitions: What keeps what quiet, by the names of the originals.

    Raises:
        ValueError: A name is no alert; a source is less urgent than a target; an alert would keep itself quiet.
    """
    alerts = {alert.name: alert for group in groups for alert in group.alerts}
    listed = tuple(inhibitions)
    for inhibition in listed:
        _check(inhibition, alerts)
    all_inhibitions = (*listed, *startup_inhibition(alerts.values()))
    _refuse_circles(all_inhibitions)
    return tuple(replace(inhibition, targets=_with_twins(inhibition.targets, alerts)) for inhibition in all_inhibitions)


def _with_twins(targets: Sequence[str], alerts: Mapping[str, Alert]) -> tuple[str, ...]:
    twins = (f"{name}{SUFFIX}" for name in targets)
    return (*targets, *(name for name in twins if name in alerts))


def _check(inhibition: Inhibition, alerts: Mapping[str, Alert]) -> None:
    where = f"inhibition of {', '.join(inhibition.targets)} by {', '.join(inhibition.source)}"
    if not inhibition.source or not inhibition.targets:
        raise ValueError(f"{where}: name at least one source and one target")
    for name in (*inhibition.source, *inhibition.targets):
        if name not in alerts:
            close = get_close_matches(name, alerts, n=1)
            meant = f", did you mean {close[0]}?" if close else ": name an alert that has a rule"
            raise ValueError(f"{where}: {name} is no alert of the platform{meant}")
        if alerts[name].original:
            raise ValueError(f"{where}: {name} is a twin: name {alerts[name].original}, the twin follows it")
    least = max(inhibition.source, key=lambda name: _URGENCY[alerts[name].severity])
    most = min(inhibition.targets, key=lambda name: _URGENCY[alerts[name].severity])
    if _URGENCY[alerts[least].severity] > _URGENCY[alerts[most].severity]:
        raise ValueError(
            f"{where}: {least} is {alerts[least].severity} and would keep {most} quiet, which is "
            f"{alerts[most].severity}: the source has to be at least as urgent"
        )


def _refuse_circles(inhibitions: Sequence[Inhibition]) -> None:
    """Inhibited alerts inhibit as well: in a circle nobody would be notified of anything."""
    quiet: dict[str, set[str]] = {}
    for inhibition in inhibitions:
        for source in inhibition.source:
            quiet.setdefault(source, set()).update(inhibition.targets)
    for start in sorted(quiet):
        reached, waiting = set[str](), [start]
        while waiting:
            for target in quiet.get(waiting.pop(), set()) - reached:
                reached.add(target)
                waiting.append(target)
        if start in reached:
            raise ValueError(f"inhibitions: {start} would keep itself quiet: take one of the inhibitions out")
