"""An API server of the tests: pods, their logs as a kubelet gives them, Events; HTTPS, with a token."""

from __future__ import annotations

import json
import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from services.audit import Kubernetes
from tests.support.kafka_broker import write_certificates

TOKEN = "token-of-the-pod"
NAMESPACE = "obs"
UID = "0f0f"
Break = Literal["before", "within", "silent", "gone"]


def pod(name: str = "kafka-0", uid: str = UID, restarts: int = 0, phase: str = "Running") -> dict[str, Any]:
    """A pod of the brokers."""
    status = {"name": "kafka", "restartCount": restarts, "containerID": "containerd://1"}
    labels = {"app.kubernetes.io/name": "kafka"}
    return {
        "metadata": {"name": name, "uid": uid, "labels": labels, "resourceVersion": "1"},
        "status": {"phase": phase, "containerStatuses": [status]},
    }


@dataclass
class Cluster:
    """What the API server knows.

    Attributes:
        pods: Name -> pod.
        logs: Name of the pod -> its log, with timestamps, of this life.
        previous: The same of the life before.
        events: Events.
        changes: What a watch tells, as type and object; None ends it.
        live: Lines of a log while it is followed; None ends the stream.
        breaks: How the next requests of a log break off: before the answer, within it, with none until the client
            gives up, or since the pod has just gone.
        requests: What was asked for.
        token: With which it lets in.
    """

    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    previous: dict[str, list[str]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    changes: queue.Queue[tuple[str, str, dict[str, Any]] | None] = field(default_factory=queue.Queue)
    live: dict[str, queue.Queue[str | None]] = field(default_factory=dict)
    breaks: list[Break] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    token: str = TOKEN


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.cluster.requests.append(self.path)
        if self.headers["Authorization"] != f"Bearer {self.cluster.token}":
            self._json({"message": "no"}, 401)
            return
        path = parts.path.removeprefix(f"/api/v1/namespaces/{NAMESPACE}/").split("/")
        if path[-1] == "log":
            self._log(path[1], query)
        elif len(path) == 2:
            known = self.cluster.pods.get(path[1])
            self._json(known or {"message": "none"}, 200 if known else 404)
        elif "watch" in query:
            self._watch(path[0])
        else:
            items = list(self.cluster.pods.values()) if path[0] == "pods" else self.cluster.events
            self._json({"metadata": {"resourceVersion": "1"}, "items": items}, 200)

    def _json(self, content: dict[str, Any], status: int) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _log(self, name: str, query: dict[str, str]) -> None:
        lines = (self.cluster.previous if "previous" in query else self.cluster.logs).get(name)
        if lines is None:
            self._json({"message": "previous terminated container not found"}, 400)
            return
        # The API server hands whole seconds on.
        since = query.get("sinceTime", "")[:19]
        how = self.cluster.breaks.pop(0) if self.cluster.breaks else None
        if how == "gone":
            del self.cluster.pods[name]
            self._json({"message": "none"}, 404)
            return
        self.close_connection = how is not None
        if how == "silent":
            self.rfile.read(1)
        elif how != "before":
            self._begin()
        if how == "within":
            self.wfile.write(b"40\r\n2026")
        if how is not None:
            return
        for line in lines:
            if line[:19] >= since:
                self._chunk(line + "\n")
        waiting = self.cluster.live.get(name)
        while "follow" in query and waiting is not None and (line_now := waiting.get()) is not None:
            self._chunk(line_now + "\n")
        self._chunk("")

    def _watch(self, path: str) -> None:
        self._begin()
        while (change := self.cluster.changes.get()) is not None:
            if change[0] == path:
                self._chunk(json.dumps({"type": change[1], "object": change[2]}) + "\n")
            else:
                self.cluster.changes.put(change)
        self._chunk("")


@contextmanager
def api_server(folder: Path, cluster: Cluster) -> Iterator[Kubernetes]:
    """Where it answers, while the block runs."""
    write_certificates(folder)
    (folder / "token").write_text(f"{TOKEN}\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cluster": cluster}))
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Kubernetes(
            host="localhost",
            port=server.server_address[1],
            ca_file=folder / "ca.pem",
            token_file=folder / "token",
            namespace=NAMESPACE,
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
