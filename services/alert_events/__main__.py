"""The program: serve both endpoints until asked to stop, then end the posts that are under way."""

from __future__ import annotations

import sys
import threading

from prometheus_client import CollectorRegistry, ProcessCollector

from services.alert_events.settings import AlertEventsSettings
from services.alert_events.web import LIMITS, Endpoints
from services.runtime import serving
from services.runtime.kafka_sender import ANSWER_S, BrokersError, Sender
from services.runtime.periodic import operator_log
from services.runtime.serving import https_server

_PAUSE_S = 2.0


log = operator_log("alert-events")
"""Writes one line for the operator; never a part of an alert."""


class Service(serving.Service):
    """Both endpoints, the metrics and the probes behind one port."""

    def __init__(self, settings: AlertEventsSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
        self._reached = threading.Event()
        self._sender = Sender(settings, "alert-events")
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        endpoints = Endpoints(settings, self._sender, registry, log)
        self.server = https_server(
            settings,
            registry,
            self._sender.alive,
            self._ready,
            program="alert-events",
            pages=endpoints.application,
            limits=LIMITS,
        )

    def _ready(self) -> bool:
        """Ready once the brokers knew both topics; later they may be away, and senders are told so by answers."""
        return self._reached.is_set() and not self._stop.is_set()

    def begin(self, stop: threading.Event) -> None:
        """Ask for the topics until the brokers know them."""
        threading.Thread(target=self._reach, args=(stop,), daemon=True).start()

    def end(self) -> None:
        """Answer the posts that are under way first."""
        if not self.server.stop(ANSWER_S + 1):
            log("stopped before every post was answered; their senders come again")
        self._sender.close()

    def _reach(self, stop: threading.Event) -> None:
        told = ""
        while not stop.is_set():
            try:
                self._sender.reach()
            except BrokersError as error:
                if str(error) != told:
                    told = str(error)
                    log(f"not ready: {told}")
                stop.wait(_PAUSE_S)
            else:
                self._reached.set()
                log("the brokers know both topics")
                return


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="alert-events",
        description="Alerts and notifications into Kafka.",
        make=lambda file: Service(AlertEventsSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
