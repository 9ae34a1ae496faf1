"""A small HTTPS server that answers as Grafana does, with one account per role and metrics from memory."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from components.dashboards.grafana import rendered
from components.dashboards.model import Dashboard
from components.dashboards.registry import DASHBOARDS
from tests.config.pki import write_certificates

ADMINISTRATOR = ("admin", "the administrator's password")
READER = ("reader", "the reader's password")
PASSWORDS = {name: f"{name}'s password" for name in ("viewer", "editor", "admin-person", "outsider")}
ROLES = {"viewer": "Viewer", "editor": "Editor", "admin-person": "Admin", "admin": "Admin"}
ANSWER = '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}'
NOTHING = '{"status":"success","data":{"resultType":"vector","result":[]}}'


def accounts() -> dict[str, dict[str, str]]:
    """The file of the people's logins."""
    names = {"viewer": "viewer", "editor": "editor", "admin": "admin-person", "outsider": "outsider"}
    return {role: {"username": name, "password": PASSWORDS[name]} for role, name in names.items()}


@dataclass
class State:
    """What replicas share, and how this Grafana differs from a good one.

    Attributes:
        shared: Whether a session of one replica is good at the others.
        roles: Login -> role.
        let_in: Credentials that get in without any role's group.
        folders: Uid -> permissions.
        dashboards: Dashboards that it has.
        hidden: Login -> dashboards that are not shown.
        open_to: Paths that answer 200 to everybody who has a session.
        publishes: Whether snapshots can be made.
        anonymous: Whether nobody needs a login.
        answer: What the data source says to every query.
        status: Status of that answer.
        delay_s: How long it takes.
        panels: Status and content of the answer to every request of a panel.
        panel_requests: Requests of panels that arrived.
        asked: Questions that arrived at the data source: path and query.
        busy: Questions under way now, and most of them by one session.
    """

    shared: bool = True
    roles: dict[str, str] = field(default_factory=lambda: dict(ROLES))
    let_in: set[str] = field(default_factory=set)
    folders: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"platform": [{"role": "Viewer", "permission": 1}, {"role": "Editor", "permission": 2}]}
    )
    dashboards: dict[str, Dashboard] = field(
        default_factory=lambda: {dashboard.uid: dashboard for dashboard in DASHBOARDS}
    )
    hidden: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"viewer": ("obs-operations", "obs-kafka")})
    open_to: set[str] = field(default_factory=set)
    publishes: bool = False
    anonymous: bool = False
    answer: str = ANSWER
    status: int = 200
    delay_s: float = 0.0
    panels: tuple[int, Any] = (404, {"message": "Not found"})
    panel_requests: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sessions: dict[str, tuple[str, int]] = field(default_factory=dict)
    logins: list[str] = field(default_factory=list)
    busy: dict[str, int] = field(default_factory=dict)
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    state: State

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Read."""
        where = urlparse(self.path)
        who = self._who()
        if where.path == "/api/health":
            self._say(200, {"database": "ok"})
        elif where.path == "/logout":
            with self.state.lock:
                self.state.sessions.pop(self._session(), None)
            self._say(200, {})
        elif who is None:
            self._say(401, {"message": "Unauthorized"})
        elif where.path.startswith(("/api/datasources/proxy/uid/metrics/api/v1/", "/api/v1/")):
            self._metrics(where.path.rpartition("/")[2], where.query)
        else:
            self._read(who, where.path)

    def do_POST(self) -> None:
        """Log in, or try to publish."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/login":
            self._log_in(body)
        elif self.path == "/api/ds/query":
            self._panel(body)
        elif self.state.publishes:
            self._say(200, {"url": "https://everybody.example.com"})
        else:
            self._say(403, {"message": "Dashboard Snapshots are disabled"})

    def _panel(self, body: dict[str, Any]) -> None:
        if self._who() is None:
            self._say(401, {"message": "Unauthorized"})
            return
        self.state.panel_requests.append(body)
        self._say(*self.state.panels)

    def _log_in(self, body: dict[str, str]) -> None:
        user, password, state = body["user"], body["password"], self.state
        right = {**PASSWORDS, ADMINISTRATOR[0]: ADMINISTRATOR[1]}.get(user) == password
        if not right or (user not in state.roles and user not in state.let_in):
            self._say(401, {"message": "Invalid username or password"})
            return
        session = secrets.token_hex(8)
        with state.lock:
            state.logins.append(user)
            state.sessions[session] = (user, self._port)
        self._say(200, {"message": "Logged in"}, {"Set-Cookie": f"grafana_session={session}; Path=/; HttpOnly; Secure"})

    @property
    def _port(self) -> int:
        return int(self.connection.getsockname()[1])

    def _session(self) -> str:
        return self.headers.get("Cookie", "").partition("grafana_session=")[2]

    def _who(self) -> str | None:
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            user, _, password = base64.b64decode(given).decode().partition(":")
            return user if (user, password) in (ADMINISTRATOR, READER) else None
        user, port = self.state.sessions.get(self._session(), ("", 0))
        if user and (self.state.shared or port == self._port):
            return user
        return "nobody" if self.state.anonymous else None

    def _metrics(self, kind: str, query: str) -> None:
        state, session = self.state, self._session()
        with state.lock:
            state.requests.append((kind, {key: values[0] for key, values in parse_qs(query).items()}))
            state.busy[session] = state.busy.get(session, 0) + 1
            state.most = max(state.most, state.busy[session])
        time.sleep(state.delay_s)
        with state.lock:
            state.busy[session] -= 1
        self._say(state.status, state.answer)

    def _read(self, who: str, path: str) -> None:
        state, role = self.state, self.state.roles.get(who, "")
        admin = role == "Admin"
        kind, _, rest = path.removeprefix("/api/").partition("/")
        uid = rest.split("/")[1] if rest.startswith("uid/") else rest.split("/")[0]
        content: Any = {}
        allowed = True
        if path == "/api/search":
            content = [
                {"uid": dashboard} for dashboard in state.dashboards if dashboard not in state.hidden.get(who, ())
            ]
        elif path == "/api/user/orgs":
            content = [{"orgId": 1, "name": "Main Org.", "role": role}]
        elif path.endswith("/permissions"):
            allowed, content = admin, state.folders.get(uid, [])
        elif path == "/api/folders":
            content = [{"uid": folder, "title": folder} for folder in state.folders]
        elif kind == "dashboards":
            if uid not in state.dashboards:
                self._say(404, {"message": "Dashboard not found"})
                return
            allowed = uid not in state.hidden.get(who, ())
            content = {"dashboard": rendered(state.dashboards[uid]), "meta": {"canSave": admin}}
        elif path in ("/api/datasources", "/api/org/users"):
            allowed = admin
        elif path == "/api/users":
            allowed = who == ADMINISTRATOR[0]
        allowed = allowed or path in state.open_to
        self._say(200 if allowed else 403, content if allowed else {"message": "You'll need additional permissions"})

    def _say(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        text = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[_Handler], tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread."""
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor who leaves early is no error."""


@contextmanager
def replica(folder: Path, state: State) -> Iterator[str]:
    """One replica; its address. Certificates are made in ``folder`` unless they are there."""
    if not (folder / "tls.crt").exists():
        write_certificates(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    server = _Server(type("Handler", (_Handler,), {"state": state}), tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()
