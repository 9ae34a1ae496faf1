"""The program: poll at the brokers every interval, serve the latest poll, stop when asked."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from services.kafka_lag.brokers import Brokers
from services.kafka_lag.metrics import LagMetrics
from services.kafka_lag.model import POLL_S, REQUEST_S, PollResult
from services.kafka_lag.settings import KafkaLagSettings
from services.runtime.https import HttpsServer
from services.runtime.settings import SettingsError
from services.runtime.stopping import wait_for_stop
from services.runtime.web import application

_STUCK_S = POLL_S + 2 * REQUEST_S
_MISTAKE = 2


def log(message: str) -> None:
    """Write one line for the operator."""
    print(f"kafka-lag: {message}", file=sys.stderr, flush=True)


class PollLoop:
    """Polls the brokers."""

    def __init__(self, interval_s: float, metrics: LagMetrics, poll: Callable[[], PollResult]) -> None:
        """Publish to ``metrics`` what ``poll`` finds every ``interval_s`` seconds."""
        self._interval_s = interval_s
        self._metrics = metrics
        self._poll = poll
        self._last_turn = time.monotonic()
        self._last_logged = ""

    def alive(self) -> bool:
        """Tell whether the loop still turns; unreachable brokers are no reason to restart this process."""
        return time.monotonic() - self._last_turn < self._interval_s + _STUCK_S

    def run(self, stop: threading.Event) -> None:
        """Poll every interval until ``stop`` is set."""
        while not stop.is_set():
            started = time.monotonic()
            self._last_turn = started
            self.once()
            stop.wait(max(0.1, self._interval_s - (time.monotonic() - started)))

    def once(self) -> None:
        """Poll once; failures are counted and told, not raised."""
        started = time.monotonic()
        outcome = self._poll()
        for stage, _ in outcome.failures:
            self._metrics.errors.labels(stage).inc()
        if outcome.snapshot is not None:
            self._metrics.publish(outcome.snapshot)
        self._metrics.duration.set(time.monotonic() - started)
        if not outcome.failures:
            self._metrics.last_success.set_to_current_time()
        self._log_change([f"{stage}: {reason}" for stage, reason in outcome.failures])

    def _log_change(self, failures: list[str]) -> None:
        message = failures[0] + (f" (and {len(failures) - 1} more)" if len(failures) > 1 else "") if failures else ""
        if message != self._last_logged:
            log(message or "the brokers answer again")
            self._last_logged = message


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    parser = argparse.ArgumentParser(prog="kafka-lag", description="Prometheus exporter for Kafka consumer lag.")
    parser.add_argument("--config", type=Path, required=True, help="settings file, YAML or JSON")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = KafkaLagSettings.load(options.config)
        metrics = LagMetrics(settings.interval_s)
        loop = PollLoop(settings.interval_s, metrics, Brokers(settings).poll)
        app = application(metrics.registry, settings.metrics.user, settings.metrics.password_file, loop.alive)
        server = HttpsServer(
            settings.listen_host,
            settings.listen_port,
            settings.cert_file,
            settings.key_file,
            app,
            program="kafka-lag",
        )
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    except OSError as error:
        where = f"{settings.listen_host}:{settings.listen_port} with {settings.cert_file} and {settings.key_file}"
        log(f"cannot serve on {where}: {error}")
        return _MISTAKE
    server.start()
    log(f"serving https://{settings.listen_host}:{server.server_port}/metrics")
    threading.Thread(target=loop.run, args=(stop,), daemon=True).start()
    wait_for_stop(stop)
    server.stop()
    log("stopped")
    return 0
