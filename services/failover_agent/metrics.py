"""Which region is active, what the failover agent knows about that, and how the two regions differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.failover_agent.alertmanager import AlertmanagerReconciler
from services.failover_agent.notification_gate import NotificationGate
from services.failover_agent.settings import FailoverAgentSettings
from services.failover_agent.witness import HeartbeatExchange, LeasePoller, notifies
from services.regions.witness import Heartbeat


def differences(mine: Mapping[str, str], others: Mapping[str, str]) -> dict[str, bool]:
    """What -> whether the two regions have different ones; what only one of them has is different."""
    return {what: mine.get(what) != others.get(what) for what in sorted({*mine, *others})}


class AgentCollector:
    """A collector that asks at each scrape.

    No label is called ``region``: readers of several Prometheus put the name of the region that measured there.
    """

    def __init__(
        self,
        settings: FailoverAgentSettings,
        gate: NotificationGate,
        members: Sequence[AlertmanagerReconciler],
        lease_poller: LeasePoller,
        heartbeats: HeartbeatExchange,
        ready: Callable[[], bool],
        registry: CollectorRegistry,
    ) -> None:
        self._settings, self._gate, self._members = settings, gate, members
        self._lease_poller, self._heartbeats, self._ready = lease_poller, heartbeats, ready
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing: names are known only at a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything that is known; of what is not known yet there is no series."""
        yield _gauge("failover_agent_role", "Role of the region's stack", "role", {self._settings.role: True})
        yield from self._own()
        yield from self._lease()
        yield from self._alertmanagers()
        if self._settings.peer and self._heartbeats.peer:
            yield from self._peer(self._settings.peer, self._heartbeats.peer)

    def _own(self) -> Iterator[Metric]:
        if self._ready():
            yield GaugeMetricFamily(
                "failover_agent_notifies",
                "Whether an Alertmanager of the region notifies about telemetry's alerts",
                value=notifies(self._members),
            )
        yield GaugeMetricFamily(
            "failover_agent_isolated",
            "Whether the region was cut off from the witness and from everybody outside, without a lease read since",
            value=self._gate.isolated,
        )

    def _lease(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "failover_agent_lease_read_age_seconds",
            "Since the lease was last read; before the first time: since the failover agent began",
            value=self._gate.age(),
        )
        yield CounterMetricFamily(
            "failover_agent_witness_errors",
            "Polls of lease and heartbeats that failed",
            value=self._lease_poller.errors + self._heartbeats.errors,
        )
        lease_state = self._gate.lease
        if lease_state is None:
            return
        yield GaugeMetricFamily("failover_agent_lease_epoch", "Changes of the lease's holder", value=lease_state.epoch)
        regions = [self._settings.region, self._settings.peer, lease_state.holder]
        held = {region: region == lease_state.holder for region in regions if region}
        yield _gauge("failover_agent_holder", "Whether the region holds the lease", "holder", held)

    def _alertmanagers(self) -> Iterator[Metric]:
        yield _gauge(
            "failover_agent_silenced",
            "Whether the failover agent's silence holds at an Alertmanager, seen at the last poll that succeeded",
            "alertmanager",
            {member.name: member.silenced for member in self._members if member.silenced is not None},
        )
        yield GaugeMetricFamily(
            "failover_agent_handed_over_silences",
            "Silences of alerts that the other region had told",
            value=len({id for member in self._members for id in member.handed_over}),
        )
        yield CounterMetricFamily(
            "failover_agent_alertmanager_errors",
            "Polls of an Alertmanager that failed",
            value=sum(member.errors for member in self._members),
        )

    def _peer(self, region: str, heartbeat: Heartbeat) -> Iterator[Metric]:
        yield _gauge(
            "failover_agent_peer_age_seconds",
            "Since the other region's failover agent said something",
            "peer",
            {region: heartbeat.age(datetime.now(UTC))},
        )
        yield _gauge(
            "failover_agent_peer_notifies",
            "Whether the other region's failover agent last said that it is active",
            "peer",
            {region: heartbeat.notifies},
        )
        differs = GaugeMetricFamily(
            "failover_agent_peer_differs",
            "Whether the other region has another version of a definition",
            labels=["peer", "definition"],
        )
        for what, different in differences(self._settings.fingerprints, heartbeat.fingerprints).items():
            differs.add_metric([region, what], different)
        yield differs


def _gauge(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
