"""Which alerts keep quiet while their cause is known (requirement A2), with reasons, as data.

An alert is kept quiet by another one only if everybody who is spared it hears of the cause: the source is at least as
urgent (all but one, which ends by itself: ``components.alerting.startup``), and no chain of inhibitions leads back to
itself. What is kept quiet is still in Prometheus, in ``alerts-raw`` and in ``ops alerts``, and on-call is notified of
it once the source is gone, if it still fires then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from components.alerting.escalation import SUFFIX
from components.alerting.startup import startup_inhibition
from components.rules import Alert, Inhibition, RuleGroup, Severity

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
        targets=("KafkaLagUnknown", "AlertEventsStalled", "TelemetryStale"),
        reason="Kafka takes nothing and tells nothing, so nothing that comes through it is known.",
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
