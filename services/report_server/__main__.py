"""The program: poll the object storage and serve what is there until asked to stop.

Runs as ``python3 -m services.report_server --config FILE``.
"""

from __future__ import annotations

import sys
import threading

from prometheus_client import CollectorRegistry, ProcessCollector

from services.report_server.poller import Bucket, ReportPoller
from services.report_server.settings import ReportServerSettings
from services.report_server.web import Pages, ReportCollector
from services.runtime import serving
from services.runtime.periodic import operator_log
from services.runtime.serving import https_server

log = operator_log("report-server")


class Service(serving.Service):
    """Polls, pages, metrics and probes behind one port."""

    def __init__(self, settings: ReportServerSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
        bucket = Bucket(settings.storage.place)
        self._poller = ReportPoller(settings, bucket, log)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        ReportCollector(self._poller, settings.most_age_h.model_dump(), registry)
        pages = Pages(settings.reader, self._poller, bucket, registry, log)
        self.server = https_server(
            settings,
            registry,
            self._poller.alive,
            self._poller.polled,
            program="report-server",
            pages=pages.application,
        )

    def begin(self, stop: threading.Event) -> None:
        """Poll the storage."""
        threading.Thread(target=self._poller.run, args=(stop,), daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="report-server",
        description="Stored reports, for people and Prometheus.",
        make=lambda file: Service(ReportServerSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
