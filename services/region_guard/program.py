"""The program: make Alertmanager follow the lease until asked to stop. What was silenced then stays so."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from services.common import web
from services.common.stopping import wait_for_stop
from services.region_guard import outside, sorting
from services.region_guard.alertmanager import Alertmanager
from services.region_guard.judging import Judging
from services.region_guard.member import Member
from services.region_guard.metrics import Measures
from services.region_guard.outside import Outside
from services.region_guard.rounds import News, Rounds
from services.region_guard.settings import Settings, SettingsError, load
from services.region_guard.sorting import Sorting
from services.region_guard.witness import Beats, LeaseLooks
from services.regions.witness import Witness

_MISTAKE = 2
_PATIENCE_S = 60.0
"""After that it is ready whatever it could not reach: metrics tell, and nobody waits for it."""


def log(message: str) -> None:
    """Write one line for the operator; in one piece, since several threads do."""
    print(f"region-guard: {message}\n", end="", file=sys.stderr, flush=True)


class HttpsServer(web.HttpsServer):
    """The guard's web server."""

    program = "region-guard"


class Service:
    """Looks, heartbeats, metrics and probes."""

    def __init__(self, settings: Settings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        self._settings = settings
        self._stop = threading.Event()
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

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def run(self) -> None:
        """Serve until stopped. What is under way then ends with the process: it is all done again by the next one."""
        self.server.start()
        for each in self._rounds:
            each.start(self._stop)
        wait_for_stop(self._stop)
        self.server.shutdown()
        self.server.server_close()

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
    parser = argparse.ArgumentParser(prog="region-guard", description="Lets one region of two tell people of alerts.")
    parser.add_argument("--config", type=Path, required=True, help="settings file, YAML or JSON")
    options = parser.parse_args(arguments)
    try:
        service = Service(load(options.config))
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    except OSError as error:
        log(f"cannot serve with {options.config}: {error}")
        return _MISTAKE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    log(f"serving https port {service.server.server_port}")
    service.run()
    log("stopped")
    return 0
