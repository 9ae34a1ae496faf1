"""The program: look at the brokers every interval, serve the latest look, stop when asked."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from services.common.stopping import wait_for_stop
from services.kafka_lag import reading
from services.kafka_lag.metrics import LagMetrics
from services.kafka_lag.settings import Settings, SettingsError, load
from services.kafka_lag.web import HttpsServer, application

# A look is several requests one after the other; the loop counts as stuck only well after all of them timed out.
_STUCK_S = 6 * reading.REQUEST_S
_MISTAKE = 2


def log(message: str) -> None:
    """Write one line for the operator."""
    print(f"kafka-lag: {message}", file=sys.stderr, flush=True)


class Watch:
    """Looks at the brokers again and again."""

    def __init__(self, settings: Settings, metrics: LagMetrics, connect: Callable[..., Any] = AdminClient) -> None:
        """Publish to ``metrics``; ``connect`` makes the client from librdkafka settings."""
        self._settings = settings
        self._metrics = metrics
        self._connect = connect
        self._client: Any = None
        self._secrets: tuple[str, str] | None = None
        self._last_turn = time.monotonic()
        self._told = ""

    def alive(self) -> bool:
        """Tell whether the loop still turns; unreachable brokers are no reason to restart this process."""
        return time.monotonic() - self._last_turn < self._settings.interval_s + _STUCK_S

    def run(self, stop: threading.Event) -> None:
        """Look every interval until ``stop`` is set."""
        while not stop.is_set():
            started = time.monotonic()
            self._last_turn = started
            self.once()
            stop.wait(max(0.1, self._settings.interval_s - (time.monotonic() - started)))

    def once(self) -> None:
        """Look once; failures are counted and told, not raised."""
        started = time.monotonic()
        failures: list[str] = []

        def failed(stage: str, reason: str) -> None:
            self._metrics.errors.labels(stage).inc()
            failures.append(f"{stage}: {reason}")

        try:
            found = reading.look(self._admin(), self._settings.groups, self._settings.topics, failed)
        except (KafkaException, OSError) as error:
            failed("brokers", str(error))
        else:
            self._metrics.publish(found)
        self._metrics.duration.set(time.monotonic() - started)
        if not failures:
            self._metrics.last_success.set_to_current_time()
        self._tell(failures)

    def _tell(self, failures: list[str]) -> None:
        news = failures[0] + (f" (and {len(failures) - 1} more)" if len(failures) > 1 else "") if failures else ""
        if news != self._told:
            log(news or "the brokers answer again")
            self._told = news

    def _admin(self) -> Any:
        """Return the client; a new one whenever the CA or the password was renewed."""
        settings = self._settings
        current = (settings.ca_file.read_text(), settings.password_file.read_text().strip())
        if self._client is None or current != self._secrets:
            self._client = self._connect(
                {
                    "bootstrap.servers": settings.bootstrap,
                    "client.id": "kafka-lag",
                    "security.protocol": "sasl_ssl",
                    "ssl.ca.pem": current[0],
                    "sasl.mechanism": "SCRAM-SHA-512",
                    "sasl.username": settings.username,
                    "sasl.password": current[1],
                    "log_level": 3,
                }
            )
            self._secrets = current
        return self._client


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    parser = argparse.ArgumentParser(prog="kafka-lag", description="Prometheus exporter for Kafka consumer lag.")
    parser.add_argument("--config", type=Path, required=True, help="settings file, YAML or JSON")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load(options.config)
        metrics = LagMetrics(settings.interval_s)
        watch = Watch(settings, metrics)
        app = application(metrics.registry, settings.metrics_user, settings.metrics_password_file, watch.alive)
        server = HttpsServer(settings.listen_host, settings.listen_port, settings.cert_file, settings.key_file, app)
    except SettingsError as error:
        log(str(error))
        return _MISTAKE
    except OSError as error:
        where = f"{settings.listen_host}:{settings.listen_port} with {settings.cert_file} and {settings.key_file}"
        log(f"cannot serve on {where}: {error}")
        return _MISTAKE
    server.start()
    log(f"serving https://{settings.listen_host}:{server.server_port}/metrics")
    threading.Thread(target=watch.run, args=(stop,), daemon=True).start()
    wait_for_stop(stop)
    server.shutdown()
    log("stopped")
    return 0
