"""The program: look into the object storage and serve what was seen until asked to stop."""

from __future__ import annotations

import sys
import threading

from prometheus_client import CollectorRegistry, ProcessCollector

from services.backup_keeper.metrics import Measures
from services.backup_keeper.settings import Settings, load
from services.backup_keeper.watch import Watch
from services.common import serving, web


def log(message: str) -> None:
    """Write one line for the operator."""
    print(f"backup-keeper: {message}", file=sys.stderr, flush=True)


class HttpsServer(web.HttpsServer):
    """The keeper's web server."""

    program = "backup-keeper"


class Service(serving.Service):
    """Looks, metrics and probes behind one port."""

    def __init__(self, settings: Settings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
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

    def begin(self, stop: threading.Event) -> None:
        """Look into the storage, again and again."""
        threading.Thread(target=self._watch.run, args=(stop,), daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="backup-keeper",
        description="Age, size and wholeness of backups.",
        make=lambda file: Service(load(file)),
        log=log,
    )
