"""The program: poll the object storage and serve what was seen until asked to stop.

Runs as ``python3 -m services.backup_exporter --config FILE``.
"""

from __future__ import annotations

import sys
import threading

from prometheus_client import CollectorRegistry, ProcessCollector

from services.backup_exporter.metrics import BackupCollector
from services.backup_exporter.poller import BackupPoller
from services.backup_exporter.settings import BackupExporterSettings
from services.runtime import serving
from services.runtime.https import HttpsServer


def log(message: str) -> None:
    """Write one line for the operator."""
    print(f"backup-exporter: {message}", file=sys.stderr, flush=True)


class Service(serving.Service):
    """Polls, metrics and probes behind one port."""

    def __init__(self, settings: BackupExporterSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
        self._poller = BackupPoller(settings, log)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        BackupCollector(self._poller, settings, registry)
        application = serving.application(
            registry, settings.metrics.user, settings.metrics.password_file, self._poller.alive, self._poller.polled
        )
        self.server = HttpsServer(
            settings.listen_host,
            settings.listen_port,
            settings.cert_file,
            settings.key_file,
            application,
            program="backup-exporter",
        )

    def begin(self, stop: threading.Event) -> None:
        """Poll the storage."""
        threading.Thread(target=self._poller.run, args=(stop,), daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="backup-exporter",
        description="Age, size and wholeness of backups.",
        make=lambda file: Service(BackupExporterSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
