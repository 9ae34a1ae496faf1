"""The program: look into the object storage and serve what is there until asked to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from services.common.stopping import wait_for_stop
from services.common.web import application
from services.report_shelf.bucket import Bucket
from services.report_shelf.metrics import Measures
from services.report_shelf.settings import Settings, SettingsError, load
from services.report_shelf.watch import Watch
from services.report_shelf.web import HttpsServer, Pages

_MISTAKE = 2


def log(message: str) -> None:
    """Write one line for the operator."""
    print(f"report-shelf: {message}", file=sys.stderr, flush=True)


class Service:
    """Looks, pages, metrics and probes behind one port."""

    def __init__(self, settings: Settings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        self._stop = threading.Event()
        bucket = Bucket(settings.storage)
        self._watch = Watch(settings, bucket, log)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Measures(self._watch, settings.most_age_h, registry)
        pages = Pages(settings.reader, self._watch, bucket, registry, log)
        rest = application(
            registry, settings.metrics.user, settings.metrics.password_file, self._watch.alive, self._watch.looked
        )
        self.server = HttpsServer(
            settings.listen_host,
            settings.listen_port,
            settings.cert_file,
            settings.key_file,
            pages.application(rest),
        )

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def run(self) -> None:
        """Serve until stopped."""
        self.server.start()
        threading.Thread(target=self._watch.run, args=(self._stop,), daemon=True).start()
        wait_for_stop(self._stop)
        self.server.shutdown()
        self.server.server_close()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    parser = argparse.ArgumentParser(prog="report-shelf", description="Stored reports, for people and Prometheus.")
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
