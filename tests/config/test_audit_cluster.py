"""The audit log with a real API server, which posts to it, and a real broker."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3
import yaml

from components.audit import CLUSTER_SERVICE
from lab.toolchain import tools
from ops.audit import cluster, tries
from ops.core.kube import Kube
from services.audit import AuditSettings, Source
from services.audit.__main__ import Service
from services.audit.records import AuditRecord, Outcome
from tests.config.kube_api import ADMIN, READER, KubeApi, kube_api
from tests.config.servers import eventually
from tests.config.test_audit_log import LIMIT_S, Lab, files, lab, records
from tests.support.ports import free_port

__all__ = ["lab"]
NAMESPACE = "obs"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"


@pytest.fixture(scope="module")
def posted(tmp_path_factory: pytest.TempPathFactory, lab: Lab) -> Iterator[tuple[KubeApi, Path, str]]:
    """The API server, the folder with its files for the audit log, and where it posts; the audit log listens there."""
    folder, port = tmp_path_factory.mktemp("cluster"), free_port()
    cluster.write(folder, NAMESPACE, "127.0.0.1")
    known = cluster.Credentials(**cluster.read(folder))
    (folder / cluster.WEBHOOK).write_text(yaml.safe_dump(cluster.webhook("127.0.0.1", known, port)))
    (folder / "api").mkdir()
    flags = [*cluster.flags(str(folder)), "--audit-webhook-initial-backoff=1s", "--audit-webhook-batch-max-wait=1s"]
    with kube_api(folder / "api", *flags) as api, listening(folder, lab, api, port, known):
        yield api, folder, f"https://127.0.0.1:{port}/cluster"


@contextmanager
def listening(folder: Path, lab: Lab, api: KubeApi, port: int, known: cluster.Credentials) -> Iterator[None]:
    """The audit log, which reads at that API server too."""
    for name, content in {
        "cluster.crt": known.certificate,
        "cluster.key": known.key,
        "cluster-token": known.token,
        "token": "token-of-admin",
        "cert.pem": (api.folder / "tls.crt").read_text(),
        "key.pem": (api.folder / "tls.key").read_text(),
    }.items():
        (folder / name).write_text(content)
    settings = files(folder, lab) | {
        "kubernetes": {
            "host": "localhost",
            "port": int(api.url.rpartition(":")[2]),
            "ca_file": api.folder / "ca.crt",
            "token_file": folder / "token",
            "namespace": NAMESPACE,
        },
        "cluster": {
            "listen": f"127.0.0.1:{port}",
            "tls": {"cert_file": folder / "cluster.crt", "key_file": folder / "cluster.key"},
            "token_file": folder / "cluster-token",
        },
    }
    service, stop = Service(AuditSettings.parse(settings)), threading.Event()
    service.server.start()
    service.begin(stop)
    eventually(lambda: bool(records(lab)), LIMIT_S, "the chain begins")
    try:
        yield
    finally:
        stop.set()
        service.end()


def of_cluster(lab: Lab, target: str) -> list[AuditRecord]:
    return [record for record in records(lab) if record.source is Source.CLUSTER and record.target == target]


def test_what_a_real_api_server_lets_and_refuses_is_told_without_content(
    lab: Lab, posted: tuple[KubeApi, Path, str]
) -> None:
    api, _, _ = posted
    api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    api.create(SECRETS, {"metadata": {"name": "kafka-password"}, "stringData": {"password": "open sesame"}})
    for user, account, allowed in ((ADMIN, None, True), (ADMIN, "mallory", False), (READER, None, False)):
        kube = Kube.connect(NAMESPACE, api.kubeconfig, user)
        assert kube.may_read_secret("kafka-password", account) is allowed
        kube.close()
    target = "secrets/kafka-password"
    eventually(lambda: len(of_cluster(lab, target)) >= 4, LIMIT_S, "all are told")
    told = {(record.who, record.action, record.outcome, record.detail.get("as")) for record in of_cluster(lab, target)}
    assert told == {
        ("admin", "create", Outcome.ALLOWED, None),
        ("admin", "get", Outcome.ALLOWED, None),
        ("admin", "get", Outcome.REFUSED, "mallory"),
        ("reader", "get", Outcome.REFUSED, None),
    }
    assert "sesame" not in "".join(record.model_dump_json() for record in records(lab))


def test_a_client_hides_nothing_behind_the_id_of_another_request_or_a_long_path(
    lab: Lab, posted: tuple[KubeApi, Path, str]
) -> None:
    api, _, _ = posted
    headers = {"Authorization": "Bearer token-of-reader", "Audit-ID": "one", "X-Forwarded-For": "203.0.113.9"}
    for path in (f"{SECRETS}/first", f"{SECRETS}/second?{'&' * 900_000}"):
        answer = requests.get(api.url + path, headers=headers, verify=str(api.folder / "ca.crt"), timeout=60)
        assert answer.status_code == requests.codes.forbidden
    for name in ("first", "second"):
        eventually(lambda name=name: bool(of_cluster(lab, f"secrets/{name}")), LIMIT_S, f"{name} is told")  # type: ignore[misc]
        assert {record.origin for record in of_cluster(lab, f"secrets/{name}")} == {"127.0.0.1"}


def test_a_command_of_somebody_without_rights_is_refused_and_in_the_report(
    lab: Lab, posted: tuple[KubeApi, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, _, _ = posted
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
    monkeypatch.setenv("PATH", f"{tools.path('kubectl').parent}{os.pathsep}/usr/bin:/bin")
    context: Any = SimpleNamespace(platform=lab.platform, kube=SimpleNamespace(context=ADMIN, namespace=NAMESPACE))
    tried = tries._refused_command(context)
    seconds = tries.reported(context, [tried], LIMIT_S)
    assert list(seconds) == ["ops refused"]
    assert seconds["ops refused"] is not None
    told = [record for record in of_cluster(lab, "events") if tried.fits(record)]
    assert [(record.who, record.action, record.outcome) for record in told] == [("admin", "create", Outcome.REFUSED)]


def test_nobody_else_writes_there(lab: Lab, posted: tuple[KubeApi, Path, str]) -> None:
    _, folder, url = posted
    forged = {
        "kind": "EventList",
        "apiVersion": "audit.k8s.io/v1",
        "items": [
            {
                "auditID": "x",
                "stage": "ResponseComplete",
                "verb": "get",
                "user": {"username": "carol"},
                "sourceIPs": ["10.0.0.1"],
                "objectRef": {"resource": "secrets", "namespace": NAMESPACE, "name": "forged"},
                "responseStatus": {"code": 200},
                "requestReceivedTimestamp": "2026-11-28T20:52:59.040413Z",
                "stageTimestamp": "2026-11-28T20:52:59.040882Z",
            }
        ],
    }

    def post(token: str, body: bytes) -> int:
        with urllib3.PoolManager(
            ca_certs=str(folder / "cluster.crt"), server_hostname=CLUSTER_SERVICE, assert_hostname=CLUSTER_SERVICE
        ) as server:
            return server.request("POST", url, body=body, headers={"Authorization": f"Bearer {token}"}).status

    token = (folder / "cluster-token").read_text()
    assert post("guessed", json.dumps(forged).encode()) == requests.codes.unauthorized
    assert post(token, b"x" * (17 * 1024 * 1024)) == requests.codes.request_entity_too_large
    assert post(token, b"[" * 1_000_000) == requests.codes.bad_request
    assert post(token, json.dumps({**forged, "items": []}).encode()) == requests.codes.ok
    assert of_cluster(lab, "secrets/forged") == []


def test_files_are_made_once(tmp_path: Path) -> None:
    cluster.write(tmp_path, NAMESPACE, "10.96.0.30")
    before: dict[str, Any] = {path.name: path.read_text() for path in tmp_path.iterdir()}
    cluster.write(tmp_path, NAMESPACE, "10.96.0.30")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
