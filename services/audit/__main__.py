"""The program: read where the chain ends, then follow every source until asked to stop."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, ProcessCollector

from services.audit import AuditSettings, Source
from services.audit.cluster import ClusterPosts
from services.audit.follower import ApiError, KubernetesApi, Positions
from services.audit.journal import Journal, JournalError, Past, Tail, Writer
from services.audit.metrics import Metrics
from services.audit.watch import Commands, Pods
from services.runtime import serving
from services.runtime.kafka_sender import Sender
from services.runtime.serving import https_server, operator_log

_PAUSE_S = 5.0
_LAST_POSTS_S = 3.0
"""How long posts that are being taken may still wait for Kafka."""
ENDING_PODS_S = 60.0
"""How long pods that are ending are read on: longer than they are given to end."""
END_S = 20.0
"""How long it may take to write what waits."""


log = operator_log("audit")
"""Writes one line for the operator; never a part of an access."""


class Service(serving.Service):
    """Followers, the writer, and the metrics and probes behind one port."""

    def __init__(self, settings: AuditSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
        self._settings = settings
        self._writer: Writer | None = None
        self._pods: Pods | None = None
        self._watches: list[threading.Thread] = []
        self._sender = Sender(settings, "audit")
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        followed = [container.source for container in settings.followed]
        self._metrics = Metrics(
            registry, dict.fromkeys([*followed, *([Source.CLUSTER] if settings.cluster else []), Source.OPS])
        )
        namespace = settings.kubernetes.namespace
        self._posts = ClusterPosts(settings.cluster, namespace, self._metrics, log) if settings.cluster else None
        self.cluster_server = self._posts.server() if self._posts else None
        self.server = https_server(settings, registry, self._alive, self._ready, program="audit")

    def _alive(self) -> bool:
        watching = all(thread.is_alive() for thread in self._watches) or self._stop.is_set()
        return watching and self._sender.alive() and (self._writer is None or self._writer.alive())

    def _ready(self) -> bool:
        """Ready once it knows where the chain ends."""
        return self._writer is not None and not self._stop.is_set()

    def begin(self, stop: threading.Event) -> None:
        """Start when the brokers have told where the chain ends."""
        if self.cluster_server is not None:
            self.cluster_server.start()
        threading.Thread(target=self._start, args=(stop,), daemon=True).start()

    def end(self) -> None:
        """Read what is ending to its end, and write what waits, first."""
        if self._pods is not None:
            self._read_on(self._pods)
        if self.cluster_server is not None:
            self.cluster_server.stop(_LAST_POSTS_S)
        if self._writer is not None and not self._writer.end(END_S):
            log("stopped before all was written; it is read again after the next start")
        self._sender.close()
        self.server.stop()

    def _read_on(self, pods: Pods) -> None:
        try:
            if left := pods.end(ENDING_PODS_S):
                log(f"stopped before {left} containers of ending pods were read to their end")
        except ApiError as error:
            log(f"stopped without a look for ending pods: {error}")

    def _start(self, stop: threading.Event) -> None:
        known = self._past(stop)
        if known is None:
            return
        settings, api = self._settings, KubernetesApi(self._settings.kubernetes)
        positions = Positions(known.positions)
        writer = Writer(Journal(settings, self._sender, known.newest, self._metrics), positions, log)
        pods = Pods(api, settings.followed, positions, writer.emit, self._metrics, first=known.newest is None)
        away_s = known.away_s(datetime.now(UTC))
        commands = Commands(api, known.events, writer.emit, self._metrics, away_s=away_s)
        writer.start(stop)
        for name, work in (("pods", pods.run), ("commands", commands.run)):
            thread = threading.Thread(target=work, args=(stop,), name=name, daemon=True)
            thread.start()
            self._watches.append(thread)
        if self._posts is not None:
            self._posts.begin(writer, known)
        self._writer, self._pods = writer, pods
        newest = known.newest
        log(f"the chain goes on after {newest.day} number {newest.sequence}" if newest else "a chain begins")

    def _past(self, stop: threading.Event) -> Past | None:
        told = ""
        while not stop.is_set():
            try:
                return Tail(self._settings).read(datetime.now(UTC))
            except JournalError as error:
                if str(error) != told:
                    told = str(error)
                    log(f"not ready: {told}")
                stop.wait(_PAUSE_S)
        return None


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="audit",
        description="The audit log.",
        make=lambda file: Service(AuditSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
