"""The program: make Alertmanager follow the lease until asked to stop. What was silenced then stays so."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector

from services.common import serving, web
from services.region_guard import outside, sorting
from services.region_guard.alertmanager import Alertmanager
from services.region_guard.judging import Judging
from services.region_guard.member import Member
from services.region_guard.metrics import Measures
from services.region_guard.outside import Outside
from services.region_guard.rounds import News, Rounds
from services.region_guard.settings import Settings, load
from services.region_guard.sorting import Sorting
from services.region_guard.witness import Beats, LeaseLooks
from services.regions.witness import Witness

_PATIENCE_S = 60.0
"""After that it is ready whatever it could not reach: metrics tell, and nobody waits for it."""


def log(message: str) -> None:
    """Write one line for the operator; in one piece, since several threads do."""
    print(f"region-guard: {message}\n", end="", file=sys.stderr, flush=True)


class HttpsServer(web.HttpsServer):
    """The guard's web server."""

    program = "region-guard"


class Service(serving.Service):
    """Looks, heartbeats, metrics and probes."""

    def __init__(self, settings: Settings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        self._settings = settings
        super().__init__()
        self._began = time.monotonic()
        self._judging = Judging(settings.isolated_s)
        news = News(log)
        self._members = [
            Member(each, settings.region, self._judging, self._tell, log, news) for each in self._alertmanagers()
        ]
        self._following = [Rounds(each.name, settings.look_s, each.look) for each in self._members]
        leases = LeaseLooks(settings, Witness(settings.witness), self._judging, self._follow, news, log)
        beats = Beats(settings, Witness(settings.witness), self._judging, self._members, self.ready, news)
        self._beating = Rounds("beats", settings.beat_s, beats.look)
        sorter = Sorting(list(self._alertmanagers()))
        self._rounds = [
            *self._following,
            Rounds("lease", settings.look_s, leases.look),
            self._beating,
            Rounds("sorting", sorting.EVERY_S, sorter.look),
            *self._reaching(),
        ]
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Measures(settings, self._judging, self._members, leases, beats, self.ready, registry)
        application = web.application(
            registry, settings.metrics.user, settings.metrics.password_file, self.alive, self.ready
        )
        self.server = HttpsServer(
            settings.listen_host, settings.listen_port, settings.cert_file, settings.key_file, application
        )

    def alive(self) -> bool:
        """Whether every look still happens."""
        return all(each.alive() for each in self._rounds)

    def ready(self) -> bool:
        """Whether every Alertmanager was seen to be as the lease wants it, or a minute was not enough for that."""
        return all(member.applied for member in self._members) or time.monotonic() - self._began >= _PATIENCE_S

    def begin(self, stop: threading.Event) -> None:
        """Follow the lease; what is under way at the end is all done again by the next process."""
        for each in self._rounds:
            each.start(stop)

    def _alertmanagers(self) -> Iterator[Alertmanager]:
        return (Alertmanager(url, self._settings.alertmanagers) for url in self._settings.alertmanagers.urls)

    def _reaching(self) -> Iterator[Rounds]:
        isolated_s = self._settings.isolated_s
        for address in self._settings.outside:
            each = Outside(address, self._judging, isolated_s)
            yield Rounds(each.name, outside.every_s(isolated_s), each.look)

    def _tell(self) -> None:
        """The other region, and whoever waits for it, hear of a change at once."""
        self._beating.wake()

    def _follow(self) -> None:
        for each in self._following:
            each.wake()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="region-guard",
        description="Lets one region of two tell people of alerts.",
        make=lambda file: Service(load(file)),
        log=log,
    )
