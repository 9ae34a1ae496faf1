"""The client of servers that speak JSON, against a small HTTPS server that answers as it is told."""

from __future__ import annotations

import base64
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

import pytest

from services.runtime import json_api
from services.runtime.json_api import ApiError, JsonApi, part
from tests.config.pki import write_certificates
from tests.config.servers import free_port
from tests.support.kafka_nodes import Authority


@dataclass
class Server:
    """A server: what it answers, in order, the last for good; and what it was asked.

    Attributes:
        answers: Status and body; None hangs up without an answer.
        requests: Method, path, headers and body.
        connections: How many were opened.
    """

    folder: Path
    port: int = 0
    answers: list[tuple[int, str] | None] = field(default_factory=lambda: [(200, "{}")])
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def client(self, **options: Any) -> JsonApi:
        return JsonApi("the server", options.pop("url", self.url), self.folder / "ca.crt", **options)


@contextmanager
def serving(folder: Path, *, client_authority: Path | None = None) -> Iterator[Server]:
    state = Server(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            state.connections += 1

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.requests.append((self.command, self.path, dict(self.headers), body))
            answer = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            if answer is None:
                self.close_connection = True
                return
            status, text = answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    if client_authority:
        context.load_verify_locations(client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    write_certificates(tmp_path)
    with serving(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries."""
    pauses: list[float] = []
    monkeypatch.setattr(json_api.time, "sleep", pauses.append)
    return pauses


def test_content_goes_compressed_where_that_is_asked_for(server: Server) -> None:
    lines = b'{"a":1}\n' * 1000
    with server.client() as api:
        assert api.send("POST", "/x", lines, compressed=True).status == 200
    [(_, _, headers, body)] = server.requests
    assert (headers["Content-Encoding"], headers["Content-Type"]) == ("gzip", "application/x-ndjson")
    assert len(body) < len(lines) / 10
    assert gzip.decompress(body) == lines


def test_a_request_has_its_query_its_user_and_its_body_as_json(server: Server) -> None:
    server.answers = [(200, '{"a": [1]}')]
    with server.client(login=("me", "日本")) as api:
        assert api.ask("POST", f"/x/{part('a/b %')}", {"q": "値"}, params={"size": 3}) == {"a": [1]}
    [(method, path, headers, body)] = server.requests
    assert (method, path) == ("POST", "/x/a%2Fb%20%25?size=3")
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == "me:日本"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"q": "値"}


def test_bytes_are_sent_as_lines_of_json(server: Server) -> None:
    with server.client() as api:
        assert api.ask("POST", "/_bulk", b'{"index":{}}\n{}\n') == {}
    [(_, _, headers, body)] = server.requests
    assert (headers["Content-Type"], body) == ("application/x-ndjson", b'{"index":{}}\n{}\n')


def test_one_connection_serves_all_requests(server: Server) -> None:
    with server.client() as api:
        for _ in range(5):
            api.ask("GET", "/")
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((403, '{"error": {"reason": "no\\npermissions"}}'), "the server: GET /x: 403 no permissions"),
        ((400, '{"message": "bad"}'), "the server: GET /x: 400 bad"),
        ((401, ""), "the server: GET /x: 401 Unauthorized"),
        ((500, "<html>oops</html>"), "the server: GET /x: 500 <html>oops</html>"),
        ((302, ""), "the server: GET /x: 302 Found"),
        ((200, "<html>"), "the server: GET /x: the answer is not JSON"),
    ],
)
def test_a_refusal_is_one_line_that_names_the_server(server: Server, answer: tuple[int, str], message: str) -> None:
    server.answers = [answer]
    with server.client(login=("me", "hunter2")) as api, pytest.raises(ApiError) as caught:
        api.ask("GET", "/x", params={"secret": "s3cret"})
    assert str(caught.value) == message
    assert caught.value.status == answer[0]


def test_what_is_not_there_is_none(server: Server) -> None:
    server.answers = [(404, "")]
    with server.client() as api:
        assert api.ask("GET", "/x") is None


def test_nobody_there_is_an_error_after_as_many_tries_as_were_asked_for(tmp_path: Path, waits: list[float]) -> None:
    write_certificates(tmp_path)
    port = free_port()
    with JsonApi("search", f"https://localhost:{port}", tmp_path / "ca.crt", waits_s=(1, 2)) as api:
        with pytest.raises(ApiError, match=r"^search: GET /x: no answer: \[Errno 111\] Connection refused$") as caught:
            api.ask("GET", "/x?secret=1")
        assert waits == [1, 2]
        assert caught.value.status == 0
        with pytest.raises(ApiError):
            api.ask("POST", "/x")
        assert waits == [1, 2], "what changes something is not sent again"
        with pytest.raises(ApiError):
            api.ask("POST", "/x", again=True)
        assert waits == [1, 2, 1, 2]


def test_a_busy_server_and_one_that_hangs_up_are_asked_again(server: Server, waits: list[float]) -> None:
    server.answers = [(503, ""), None, (429, ""), (200, '{"ok": true}')]
    with server.client(waits_s=(0.1, 0.2, 0.3)) as api:
        assert api.ask("GET", "/") == {"ok": True}
    assert waits == [0.1, 0.2, 0.3]


def test_a_connection_that_the_server_has_closed_is_no_failure(server: Server) -> None:
    """Between two requests of the same client there may be minutes: servers close what is idle."""
    with server.client() as api:
        api.ask("GET", "/first")
        assert api._connections is not None
        connection = api._connections.pool.get()  # type: ignore[union-attr]
        connection.sock.shutdown(2)
        api._connections.pool.put(connection)  # type: ignore[union-attr]
        assert api.ask("POST", "/second") == {}
    assert [path for _, path, _, _ in server.requests] == ["/first", "/second"]


def test_a_server_of_another_authority_or_name_is_not_talked_to_and_not_asked_again(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_certificates(other)
    for options in ({"server_name": "elsewhere"}, {"ca_file": other / "ca.crt"}):
        given = {"ca_file": server.folder / "ca.crt", "waits_s": (1, 2), **options}
        with (
            JsonApi("the server", server.url, **given) as api,
            pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            api.ask("GET", "/")
    assert server.requests == []
    assert waits == []


def test_its_name_is_what_counts_by_whatever_address_it_is_reached(server: Server) -> None:
    with server.client(url=f"https://127.0.0.2:{server.port}") as api, pytest.raises(ApiError):
        api.ask("GET", "/")
    with server.client(url=f"https://127.0.0.1:{server.port}", server_name="localhost") as api:
        assert api.ask("GET", "/") == {}


def test_a_renewed_password_counts_at_once(server: Server, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("first\n")
    with server.client(login=("me", tmp_path / "password")) as api:
        api.ask("GET", "/")
        (tmp_path / "password").write_text("second\n")
        api.ask("GET", "/")
    users = [base64.b64decode(headers["Authorization"].split()[1]) for _, _, headers, _ in server.requests]
    assert users == [b"me:first", b"me:second"]


def test_a_renewed_authority_counts_after_a_failure(server: Server, tmp_path: Path) -> None:
    right, other = (tmp_path / "ca.crt").read_bytes(), tmp_path / "other"
    other.mkdir()
    write_certificates(other)
    (tmp_path / "ca.crt").write_bytes((other / "ca.crt").read_bytes())
    with server.client() as api:
        with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
            api.ask("GET", "/")
        (tmp_path / "ca.crt").write_bytes(right)
        assert api.ask("GET", "/") == {}


def test_a_password_that_cannot_be_read_is_an_error_of_the_request(server: Server, tmp_path: Path) -> None:
    with server.client(login=("me", tmp_path / "none")) as api, pytest.raises(ApiError, match="No such file"):
        api.ask("GET", "/")
    assert server.requests == []


def test_a_client_may_show_a_certificate(tmp_path: Path) -> None:
    Authority().issue(tmp_path, "client", ())
    with serving(tmp_path, client_authority=tmp_path / "ca.crt") as server:
        with server.client() as api, pytest.raises(ApiError):
            api.ask("GET", "/")
        with server.client(certificate=(tmp_path / "tls.crt", tmp_path / "tls.key")) as api:
            assert api.ask("GET", "/") == {}
