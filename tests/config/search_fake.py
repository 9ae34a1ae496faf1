"""A fake of a search cluster's write side: takes bulks over HTTPS, remembers them, and can go away and come back."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from components.versions import release
from tests.config.servers import free_port

_HELLO = {
    "name": "fake",
    "cluster_name": "fake",
    "version": {"number": release("opensearch"), "distribution": "opensearch"},
    "tagline": "The OpenSearch Project: https://opensearch.org/",
}


@dataclass
class SearchFake:
    """What was written.

    Attributes:
        folder: Has the certificate.
        port: Where it listens.
        documents: (index, document) in the order of arrival.
        refuse_items: Answer every item of a bulk with 403.
    """

    folder: Path
    port: int
    documents: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refuse_items: bool = False
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Base address."""
        return f"https://localhost:{self.port}"

    def spans(self, index: str | None = None) -> list[tuple[str, str]]:
        """Where each span was written to, with its name; of all indices or of one."""
        return [
            (name, document["operationName"])
            for name, document in list(self.documents)
            if "spanID" in document and index in (None, name)
        ]

    def start(self) -> None:
        """Listen."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(_HELLO)

            def do_HEAD(self) -> None:
                self._answer(_HELLO, body=False)

            def do_POST(self) -> None:
                content = self._content()
                if fake._server is not server:
                    # Gone: connections that were open before get no answer either.
                    self.close_connection = True
                    return
                if self.headers.get("Content-Encoding") == "gzip":
                    content = gzip.decompress(content)
                self._answer(fake._bulk(content.decode()))

            def _content(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"]))
                content = b""
                while size := int(self.rfile.readline(), 16):
                    content += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return content

            def _answer(self, content: object, *, body: bool = True) -> None:
                text = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if body:
                    self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                """Requests are no news."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that is killed in the middle of a request is part of the tests."""

        server = Server(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "tls.crt", self.folder / "tls.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Go away; open connections get no answer any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _bulk(self, text: str) -> dict[str, Any]:
        lines = [json.loads(line) for line in text.splitlines() if line]
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            ((kind, target),) = action.items()
            status = 403 if self.refuse_items else 201
            if not self.refuse_items:
                self.documents.append((target["_index"], document))
            result = {"_index": target["_index"], "_id": "1", "status": status}
            items.append(
                {
                    kind: {**result, "error": {"type": "refused", "reason": "refused"}}
                    if status == 403
                    else {kind: result}[kind]
                }
            )
        return {"took": 1, "errors": self.refuse_items, "items": items}


@contextmanager
def search_fake(folder: Path) -> Iterator[SearchFake]:
    """A fake that listens until the block ends; ``folder`` has its certificate."""
    fake = SearchFake(folder, free_port())
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()
