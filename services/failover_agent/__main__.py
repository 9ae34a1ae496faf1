"""The program: make Alertmanager follow the lease until asked to stop. What was silenced then stays so.

Runs as ``python3 -m services.failover_agent --config FILE``.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector

from services.failover_agent import alertmanager as silence_expirer
from services.failover_agent import notification_gate
from services.failover_agent.alertmanager import Alertmanager, AlertmanagerReconciler, SilenceExpirer
from services.failover_agent.metrics import AgentCollector
from services.failover_agent.notification_gate import EgressProbe, NotificationGate
from services.failover_agent.settings import FailoverAgentSettings
from services.failover_agent.witness import HeartbeatExchange, LeasePoller
from services.regions.witness import Witness
from services.runtime import serving
from services.runtime.https import HttpsServer
from services.runtime.periodic import DedupLogger, PeriodicTask

_PATIENCE_S = 60.0
"""After that it is ready whatever it could not reach: metrics tell, and nobody waits for it."""


def log(message: str) -> None:
    """Write one line for the operator; in one piece, since several threads do."""
    print(f"failover-agent: {message}\n", end="", file=sys.stderr, flush=True)


class Service(serving.Service):
    """Polls, heartbeats, metrics and probes."""

    def __init__(self, settings: FailoverAgentSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        self._settings = settings
        super().__init__()
        self._began = time.monotonic()
        self._gate = NotificationGate(settings.isolated_s)
        problems = DedupLogger(log)
        self._members = [
            AlertmanagerReconciler(alertmanager, settings.region, self._gate, self._tell, log, problems)
            for alertmanager in self._alertmanagers()
        ]
        self._reconcile_tasks = [
            PeriodicTask(member.name, settings.poll_interval_s, member.poll) for member in self._members
        ]
        lease_poller = LeasePoller(settings, Witness(settings.witness.place), self._gate, self._follow, problems, log)
        heartbeats = HeartbeatExchange(
            settings, Witness(settings.witness.place), self._gate, self._members, self.ready, problems
        )
        self._heartbeat_task = PeriodicTask("heartbeats", settings.heartbeat_interval_s, heartbeats.poll)
        expirer = SilenceExpirer(list(self._alertmanagers()))
        self._tasks = [
            *self._reconcile_tasks,
            PeriodicTask("lease", settings.poll_interval_s, lease_poller.poll),
            self._heartbeat_task,
            PeriodicTask("silence-expirer", silence_expirer.EVERY_S, expirer.poll),
            *self._probe_tasks(),
        ]
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        AgentCollector(settings, self._gate, self._members, lease_poller, heartbeats, self.ready, registry)
        application = serving.application(
            registry, settings.metrics.user, settings.metrics.password_file, self.alive, self.ready
        )
        self.server = HttpsServer(
            settings.listen_host,
            settings.listen_port,
            settings.cert_file,
            settings.key_file,
            application,
            program="failover-agent",
        )

    def alive(self) -> bool:
        """Whether every task still happens."""
        return all(task.alive() for task in self._tasks)

    def ready(self) -> bool:
        """Whether every Alertmanager was seen to be as the lease wants it, or a minute was not enough for that."""
        return all(member.applied for member in self._members) or time.monotonic() - self._began >= _PATIENCE_S

    def begin(self, stop: threading.Event) -> None:
        """Follow the lease; what is under way at the end is all done again by the next process."""
        for task in self._tasks:
            task.start(stop)

    def _alertmanagers(self) -> Iterator[Alertmanager]:
        return (Alertmanager(url, self._settings.alertmanagers) for url in self._settings.alertmanagers.urls)

    def _probe_tasks(self) -> Iterator[PeriodicTask]:
        isolated_s = self._settings.isolated_s
        for address in self._settings.egress_addresses:
            probe = EgressProbe(address, self._gate, isolated_s)
            yield PeriodicTask(probe.name, notification_gate.interval_s(isolated_s), probe.poll)

    def _tell(self) -> None:
        """The other region, and whoever waits for it, hear of a change at once."""
        self._heartbeat_task.wake()

    def _follow(self) -> None:
        for reconcile_task in self._reconcile_tasks:
            reconcile_task.wake()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="failover-agent",
        description="Lets one region of two notify on-call of alerts.",
        make=lambda file: Service(FailoverAgentSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
