"""The index manager's decisions, and what it does when the cluster answers badly."""

from __future__ import annotations

import copy
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from services.index_manager import AccessFile, FamilySettings, indices
from services.index_manager import IndexManagerSettings as Settings
from services.index_manager import __main__ as program
from services.index_manager.__main__ import IndexManager, main
from services.index_manager.indices import Index, IndexManagerMetrics
from services.runtime.json_api import ApiError, JsonApi
from services.runtime.settings import SettingsError
from tests.support.kafka_nodes import Authority

CONTENT: dict[str, Any] = {
    "url": "https://search:9200",
    "ca_file": "/etc/tls/ca.crt",
    "username": "index-manager",
    "password_file": "/etc/auth/password",
    "access": {"file": "/etc/auth/access.json", "cert_file": "/etc/admin/tls.crt", "key_file": "/etc/admin/tls.key"},
    "nodes": 3,
    "families": [
        {
            "name": "logs",
            "write_alias": "logs-write",
            "read_aliases": ["logs-read"],
            "template": {"index_patterns": ["logs-0*"]},
            "rollover": {"age_s": 86400, "bytes": 1000, "documents": 10},
            "keep_s": 100,
        },
        {
            "name": "secret-span",
            "write_alias": "secret-span-write",
            "read_aliases": ["secret-read"],
            "template": {"index_patterns": ["secret-span-0*"]},
            "rollover": {"age_s": 86400, "bytes": 1000, "documents": 10},
            "keep_s": 100,
        },
    ],
    "listen": "127.0.0.1:0",
    "tls": {"cert_file": "/etc/tls/tls.crt", "key_file": "/etc/tls/tls.key"},
    "metrics": {"user": "scrape", "password_file": "/etc/auth/scrape"},
    "interval_s": 15,
}
SETTINGS = Settings.parse(CONTENT)
LOGS = SETTINGS.families[0]


def changed(path: str, value: object) -> dict[str, Any]:
    content = copy.deepcopy(CONTENT)
    place: Any = content
    *parents, last = path.split(".")
    for part in parents:
        place = place[int(part) if part.isdigit() else part]
    place[last] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "the file must be a mapping with the keys listen, tls, metrics, url, ca_file"),
        (changed("extra", 1), "extra is not a setting; allowed: listen, tls, metrics, url, ca_file"),
        (
            {key: value for key, value in CONTENT.items() if key != "nodes"},
            "nodes is missing; needed: listen, tls, metrics, url",
        ),
        (changed("url", "http://search:9200"), "url is 'http://search:9200'; it must be https://host:port"),
        (changed("url", "https://search"), "url is 'https://search'; it must be"),
        (changed("listen", "8080"), "listen is '8080'; it must be \"address:port\""),
        (changed("interval_s", 0), "interval_s is 0; it must be a whole number from 1"),
        (changed("families", []), "families is \\[\\]; it must be a list of families"),
        (changed("families.0.name", "Logs*"), r"families\[0\].name is 'Logs\*'; it must be lower-case letters"),
        (changed("families.1.name", "logs"), "families: logs occurs twice"),
        (changed("families.0.keep_s", True), r"families\[0\].keep_s is True"),
        (changed("families.0.rollover.bytes", "1g"), r"families\[0\].rollover.bytes is '1g'"),
        (changed("families.0.template", "x"), r"families\[0\].template is 'x'; it must be an index template"),
        (changed("families.0.read_aliases", "x"), r"families\[0\].read_aliases is 'x'; it must be a list"),
        (changed("access.file", ""), "access.file is ''; it must be a text"),
    ],
)
def test_a_mistake_in_the_settings_is_one_clear_line(content: object, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.parse(content)


def test_a_file_that_is_missing_or_no_yaml_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.yaml")]) == 2
    assert (
        capsys.readouterr().err
        == f"index-manager: {tmp_path / 'none.yaml'}: cannot be read: No such file or directory\n"
    )
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(SettingsError, match=r"bad.yaml: is neither YAML nor JSON"):
        Settings.load(tmp_path / "bad.yaml")


def index(number: int, created: float, *aliases: str, family: str = "logs") -> Index:
    return Index(name=f"{family}-{number:06d}", number=number, created=created, aliases=frozenset(aliases))


def test_an_index_is_old_when_the_next_one_has_been_written_for_as_long_as_data_is_kept() -> None:
    own = [index(1, 0), index(2, 500), index(3, 950)]
    assert indices.expired(LOGS, own, now=600) == []
    assert indices.expired(LOGS, own, now=601) == own[:1]
    assert indices.expired(LOGS, own, now=1050) == own[:1]
    assert indices.expired(LOGS, own, now=10_000) == own[:2]
    assert indices.expired(LOGS, own[:1], now=10_000) == []


def test_an_index_that_was_made_by_a_node_with_a_wrong_clock_does_not_end_the_one_before_it() -> None:
    own = [index(1, 900), index(2, 0), index(3, 1000)]
    assert indices.expired(LOGS, own, now=1000) == []
    assert indices.expired(LOGS, own, now=1001) == own[:1]


def test_only_the_newest_index_is_written_to_and_every_index_is_read() -> None:
    indices_by_family = {"logs": [index(1, 0, "logs-write"), index(2, 1)], "secret-span": []}
    assert indices.alias_changes(SETTINGS.families, indices_by_family) == [
        {"remove": {"index": "logs-000001", "alias": "logs-write"}},
        {"add": {"index": "logs-000001", "alias": "logs-read"}},
        {"add": {"index": "logs-000002", "alias": "logs-read"}},
        {"add": {"index": "logs-000002", "alias": "logs-write"}},
    ]


def test_an_alias_of_another_family_is_taken_away_and_a_foreign_one_is_left() -> None:
    secret = index(1, 0, "secret-read", "secret-span-write", "logs-read", "of-an-operator", family="secret-span")
    logs = index(1, 0, "logs-read", "logs-write")
    assert indices.alias_changes(SETTINGS.families, {"logs": [logs], "secret-span": [secret]}) == [
        {"remove": {"index": "secret-span-000001", "alias": "logs-read"}}
    ]


def test_what_the_plugin_brings_itself_is_left_alone_and_everything_else_is_as_in_the_file() -> None:
    current = {"readall": {"static": True}, "internal": {"hidden": True}, "gone": {}, "kept": {"hash": "old"}}
    assert program.operations(current, {"kept": {"hash": "new"}}) == [
        {"op": "remove", "path": "/gone"},
        {"op": "add", "path": "/kept", "value": {"hash": "new"}},
    ]


class Fake(BaseHTTPRequestHandler):
    """A server that answers every request with what the test has put there."""

    answers: dict[str, tuple[int, str]] = {}
    seen: list[tuple[str, str, str]] = []

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.seen.append((self.command, self.path, self.rfile.read(length).decode()))
        status, text = self.answers.get(f"{self.command} {self.path.partition('?')[0]}", (404, "{}"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_PUT = do_POST = do_DELETE = do_PATCH = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    Authority().issue(tmp_path, "search", ())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    (tmp_path / "password").write_text("hunter2\n")
    Fake.answers, Fake.seen = {}, []
    changes = {
        "url": f"https://localhost:{server.server_port}",
        "ca_file": tmp_path / "ca.crt",
        "password_file": tmp_path / "password",
        "access": None,
    }
    yield SETTINGS.model_copy(update=changes)
    server.shutdown()
    server.server_close()


def client(settings: Settings) -> JsonApi:
    return JsonApi("search", settings.url, settings.ca_file, login=("u", settings.password_file))


def test_a_refusal_names_request_status_and_reason_and_never_the_password(settings: Settings) -> None:
    Fake.answers = {"GET /x": (403, json.dumps({"error": {"reason": "no permissions\nfor it"}}))}
    with pytest.raises(ApiError, match=r"^search: GET /x: 403 no permissions for it$") as caught:
        client(settings).ask("GET", "/x?secret=1")
    assert caught.value.status == 403
    assert "hunter2" not in str(caught.value)


def test_what_does_not_exist_is_none_and_nonsense_is_an_error(settings: Settings) -> None:
    Fake.answers = {"GET /text": (200, "<html>")}
    search_client = client(settings)
    assert search_client.ask("GET", "/missing") is None
    with pytest.raises(ApiError, match="the answer is not JSON"):
        search_client.ask("GET", "/text")
    search_client.close()


def test_a_server_of_another_authority_is_not_talked_to(settings: Settings, tmp_path: Path) -> None:
    Authority().issue(tmp_path / "other", "other", ())
    with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
        client(settings.model_copy(update={"ca_file": tmp_path / "other" / "ca.crt"})).ask("GET", "/")
    assert Fake.seen == []


def index_manager(settings: Settings) -> tuple[IndexManager, IndexManagerMetrics, list[str]]:
    said: list[str] = []
    metrics = IndexManagerMetrics(settings.nodes, settings.interval_s)
    return IndexManager(settings, metrics, said.append, clock=lambda: 1000.0), metrics, said


def test_a_cluster_that_does_not_answer_is_counted_told_once_and_waited_for(settings: Settings) -> None:
    turned, metrics, said = index_manager(settings.model_copy(update={"url": "https://localhost:1"}))
    turned.reconcile()
    turned.reconcile()
    assert said == ["health: https://localhost:1: GET /_cluster/health: no answer: [Errno 111] Connection refused"]
    assert metrics.registry.get_sample_value("index_manager_errors_total", {"stage": "health"}) == 2
    assert metrics.registry.get_sample_value("index_manager_last_success_timestamp_seconds") == 0
    assert not turned.ready()
    assert turned.alive()
    assert turned.pause_s() < settings.interval_s
    assert b"search_cluster_status" not in generate_latest(metrics.registry)


def test_a_step_that_fails_does_not_stop_the_others_and_the_index_manager_is_not_ready(
    settings: Settings,
) -> None:
    health = {"status": "green", "number_of_nodes": 3} | {
        f"{state}_shards": 0 for state in ("active", "relocating", "initializing", "unassigned", "delayed_unassigned")
    }
    both = {
        f"{name}-000001": {
            "aliases": {alias: {} for alias in aliases},
            "settings": {"index": {"creation_date": "900000"}},
        }
        for name, aliases in (
            ("logs", ["logs-read", "logs-write"]),
            ("secret-span", ["secret-read", "secret-span-write"]),
        )
    }
    paths = "/logs-0*,secret-span-0*"
    Fake.answers = {
        "GET /_cluster/health": (200, json.dumps(health)),
        "GET /_nodes/stats/fs,jvm,thread_pool": (200, '{"nodes": {}}'),
        "PUT /_index_template/logs": (400, '{"error": "bad field"}'),
        "PUT /_index_template/secret-span": (200, "{}"),
        f"GET {paths}": (200, json.dumps(both)),
        f"GET {paths}/_stats/docs,store": (200, "{}"),
    }
    turned, metrics, said = index_manager(settings)
    turned.reconcile()
    assert not turned.ready()
    assert said[-1] == f"templates: {settings.url}: PUT /_index_template/logs: 400 bad field"
    assert metrics.registry.get_sample_value("search_cluster_status") == 0
    assert metrics.registry.get_sample_value("search_family_indices", {"family": "logs"}) == 1
    Fake.answers["PUT /_index_template/logs"] = (200, "{}")
    turned.reconcile()
    assert turned.ready()
    assert said[-1] == "every step succeeds again"
    assert metrics.registry.get_sample_value("index_manager_last_success_timestamp_seconds") == 1000
    assert not [request for request in Fake.seen if request[0] == "DELETE"]
    turned.close()


def test_nothing_is_deleted_by_a_clock_that_is_ahead_of_the_cluster(settings: Settings) -> None:
    listed = {
        f"logs-{number:06d}": {"aliases": {}, "settings": {"index": {"creation_date": created}}}
        for number, created in ((1, "0"), (2, "800000"))
    }
    Fake.answers = {
        "GET /_cluster/health": (200, '{"status": "green"}'),
        "GET /logs-0*": (200, json.dumps(listed)),
        "POST /_aliases": (200, "{}"),
        "DELETE /logs-000001": (200, "{}"),
    }
    turned, _, _ = index_manager(settings.model_copy(update={"families": settings.families[:1]}))

    def deleted(*times_s: int) -> list[str]:
        told = {f"node-{number}": {"timestamp": time_s * 1000} for number, time_s in enumerate(times_s)}
        Fake.answers["GET /_nodes/stats/os"] = (200, json.dumps({"nodes": told}))
        Fake.seen.clear()
        turned.reconcile()
        return [path for method, path, _ in Fake.seen if method == "DELETE"]

    assert deleted(1000, 850) == []
    assert deleted(1000, 950) == ["/logs-000001"]
    turned.close()


def test_a_file_of_users_that_is_not_usable_stops_nothing_but_is_told(settings: Settings, tmp_path: Path) -> None:
    broken = tmp_path / "access.json"
    broken.write_text('{"roles": {}}')
    files = AccessFile(file=broken, cert_file=tmp_path / "tls.crt", key_file=tmp_path / "tls.key")
    turned, metrics, said = index_manager(settings.model_copy(update={"access": files}))
    turned.reconcile()
    assert said[0].startswith("access: the access file is not usable: KeyError 'internalusers'")
    assert metrics.registry.get_sample_value("index_manager_errors_total", {"stage": "access"}) == 1


def test_a_family_is_described_by_its_settings() -> None:
    assert isinstance(LOGS, FamilySettings)
    assert indices.first_index(LOGS) == "logs-000001"
