"""The program: serve both entrances until asked to stop, then end the posts that are under way."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from services.alert_events.sender import ANSWER_S, BrokersError, Sender
from services.alert_events.settings import Settings, SettingsError, load
from services.alert_events.web import Entrances, HttpsServer
from services.common.stopping import wait_for_stop
from services.common.web import application

_MISTAKE = 2
_PAUSE_S = 2.0


def log(message: str) -> None:
    """Write one line for the operator; never a part of an alert."""
    print(f"alert-events: {message}", file=sys.stderr, flush=True)


class Service:
    """Both entrances, the metrics and the probes behind one port."""

    def __init__(self, settings: Settings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        self._stop = threading.Event()
        self._reached = threading.Event()
        self._sender = Sender(settings)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        entrances = Entrances(settings, self._sender, registry, log)
        metrics = settings.metrics
        rest = application(registry, metrics.user, metrics.password_file, self._sender.alive, self._ready)
        self.server = HttpsServer(
            settings.listen_host,
            settings.listen_port,
            settings.cert_file,
            settings.key_file,
            entrances.application(rest),
        )

    def _ready(self) -> bool:
        """Ready once the brokers knew both topics; later they may be away, and senders are told so by answers."""
        return self._reached.is_set() and not self._stop.is_set()

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def run(self) -> None:
        """Serve until stopped; posts that are under way are answered."""
        self.server.start()
        threading.Thread(target=self._reach, daemon=True).start()
        wait_for_stop(self._stop)
        self.server.shutdown()
        if not self.server.drain(ANSWER_S + 1):
            log("stopped before every post was answered; their senders come again")
        self.server.server_close()
        self._sender.close()

    def _reach(self) -> None:
        told = ""
        while not self._stop.is_set():
            try:
                self._sender.reach()
            except BrokersError as error:
                if str(error) != told:
                    told = str(error)
                    log(f"not ready: {told}")
                self._stop.wait(_PAUSE_S)
            else:
                self._reached.set()
                log("the brokers know both topics")
                return


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    parser = argparse.ArgumentParser(prog="alert-events", description="Alerts and notifications into Kafka.")
    parser.add_argument("--config", type=Path, required=True, help="settings file, YAML or JSON")
    options = parser.parse_args(arguments)
    try:
        settings = load(options.config)
        service = Service(settings)
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    except OSError as error:
        log(f"cannot serve with {options.config}: {error}")
        return _MISTAKE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    log(f"serving https://{settings.listen_host}:{service.server.server_port}")
    service.run()
    log("stopped")
    return 0
