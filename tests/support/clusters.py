"""API servers that say which cluster they are and nothing else, and a kubeconfig with one context for each."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

NAMESPACE_PATH = "/api/v1/namespaces/kube-system"


@contextmanager
def api_server(uid: str, more: Mapping[str, object] = MappingProxyType({})) -> Iterator[str]:
    """A server whose namespace kube-system has this UID; its URL.

    Args:
        uid: The UID.
        more: Path, with or without its query -> what else it answers.
    """
    answers = {
        NAMESPACE_PATH: {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": uid}},
        "/version/": {"major": "1", "minor": "34"} | dict.fromkeys(_VERSION, "-"),
        **more,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path)
            answer = answers.get(path) or answers.get(path.partition("?")[0])
            body = json.dumps(answer or {"kind": "Status", "message": f"no {self.path}"}).encode()
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


_VERSION = ("gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")


@contextmanager
def kubeconfig(
    file: Path, uids: Mapping[str, str], more: Mapping[str, object] = MappingProxyType({})
) -> Iterator[Path]:
    """Context -> UID of the cluster that it leads to; the first context is the current one.

    Args:
        file: Where the kubeconfig is written.
        uids: Context -> UID.
        more: As `api_server` takes it, the same in each cluster.
    """
    with ExitStack() as servers:
        urls = {context: servers.enter_context(api_server(uid, more)) for context, uid in uids.items()}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": next(iter(uids)),
            "users": [],
            "clusters": [{"name": name, "cluster": {"server": url}} for name, url in urls.items()],
            "contexts": [{"name": name, "context": {"cluster": name, "user": ""}} for name in urls],
        }
        file.write_text(json.dumps(content))
        yield file
