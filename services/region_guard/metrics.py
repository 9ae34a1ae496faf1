"""Who tells people, what the guard knows about that, and how the two regions differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.region_guard.judging import Judging
from services.region_guard.member import Member
from services.region_guard.settings import Settings
from services.region_guard.witness import Beats, LeaseLooks, notifies
from services.regions.records import Heartbeat


def differences(mine: Mapping[str, str], others: Mapping[str, str]) -> dict[str, bool]:
    """What -> whether the two regions have different ones; what only one of them has is different."""
    return {what: mine.get(what) != others.get(what) for what in sorted({*mine, *others})}


class Measures:
    """A collector that asks at each scrape.

    No label is called ``region``: readers of several Prometheus put the name of the region that measured there.
    """

    def __init__(
        self,
        settings: Settings,
        judging: Judging,
        members: Sequence[Member],
        leases: LeaseLooks,
        beats: Beats,
        ready: Callable[[], bool],
        registry: CollectorRegistry,
    ) -> None:
        self._settings, self._judging, self._members = settings, judging, members
        self._leases, self._beats, self._ready = leases, beats, ready
        registry.register(self)

    def describe(self) -> list[Metric]:
        """Nothing: names are known only at a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything that is known; of what is not known yet there is no series."""
        yield _gauge("region_guard_role", "Role of the region's stack", "role", {self._settings.role: True})
        yield from self._own()
        yield from self._lease()
        yield from self._alertmanagers()
        if self._settings.peer and self._beats.peer:
            yield from self._peer(self._settings.peer, self._beats.peer)

    def _own(self) -> Iterator[Metric]:
        if self._ready():
            yield GaugeMetricFamily(
                "region_guard_notifies",
                "Whether an Alertmanager of the region tells people about telemetry's alerts",
                value=notifies(self._members),
            )
        yield GaugeMetricFamily(
            "region_guard_isolated",
            "Whether the region was cut off from the witness and from everybody outside, without a lease read since",
            value=self._judging.isolated,
        )

    def _lease(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "region_guard_lease_read_age_seconds",
            "Since the lease was last read; before the first time: since the guard began",
            value=self._judging.age(),
        )
        yield CounterMetricFamily(
            "region_guard_witness_errors",
            "Looks at the lease and heartbeats that failed",
            value=self._leases.errors + self._beats.errors,
        )
        found = self._judging.seen
        if found is None:
            return
        yield GaugeMetricFamily("region_guard_lease_epoch", "Changes of the lease's holder", value=found.epoch)
        regions = [self._settings.region, self._settings.peer, found.holder]
        held = {region: region == found.holder for region in regions if region}
        yield _gauge("region_guard_holder", "Whether the region holds the lease", "holder", held)

    def _alertmanagers(self) -> Iterator[Metric]:
        yield _gauge(
            "region_guard_silenced",
            "Whether the guard's silence holds at an Alertmanager, seen at the last look that succeeded",
            "alertmanager",
            {member.name: member.silenced for member in self._members if member.silenced is not None},
        )
        yield GaugeMetricFamily(
            "region_guard_carried_silences",
            "Silences of alerts that the other region had told",
            value=len({id for member in self._members for id in member.carried}),
        )
        yield CounterMetricFamily(
            "region_guard_alertmanager_errors",
            "Looks at an Alertmanager that failed",
            value=sum(member.errors for member in self._members),
        )

    def _peer(self, region: str, heartbeat: Heartbeat) -> Iterator[Metric]:
        yield _gauge(
            "region_guard_peer_age_seconds",
            "Since the other region's guard said something",
            "peer",
            {region: heartbeat.age(datetime.now(UTC))},
        )
        yield _gauge(
            "region_guard_peer_notifies",
            "Whether the other region's guard last said that it tells people",
            "peer",
            {region: heartbeat.notifies},
        )
        differs = GaugeMetricFamily(
            "region_guard_peer_differs",
            "Whether the other region has another version of a definition",
            labels=["peer", "definition"],
        )
        for what, different in differences(self._settings.definitions, heartbeat.definitions).items():
            differs.add_metric([region, what], different)
        yield differs


def _gauge(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
