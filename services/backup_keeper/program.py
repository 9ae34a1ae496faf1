"""The program: look into the object storage and serve what was seen until asked to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from services.backup_keeper.metrics import Measures
from services.backup_keeper.settings import Settings, SettingsError, load
from services.backup_keeper.watch import Watch
from services.common import web
from services.common.stopping import wait_for_stop

_MISTAKE = 2


def log(message: str) -> None:
    """Write one line for the operator."""
    print(f"backup-keeper: {message}", file=sys.stderr, flush=True)


class HttpsServer(web.HttpsServer):
    """The keeper's web server."""

    program = "backup-keeper"


class Service:
    """Looks, metrics and probes behind one port."""

    def __init__(self, settings: Settings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        self._stop = threading.Event()
        self._watch = Watch(settings, log)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Measures(self._watch, settings, registry)
        application = web.application(
            registry, settings.metrics.user, settings.metrics.password_file, self._watch.alive, self._watch.looked
        )
        self.server = HttpsServer(
            settings.listen_host, settings.listen_port, settings.cert_file, settings.key_file, application
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
    parser = argparse.ArgumentParser(prog="backup-keeper", description="Age, size and wholeness of backups.")
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
