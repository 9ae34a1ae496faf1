"""Events of the API server as accesses: those that a real one posted (cluster_events.json), and forged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.audit import cluster
from services.audit.records import UNREADABLE, Access, Outcome, UnreadableLineError

BODY = (Path(__file__).parent / "cluster_events.json").read_bytes()
EVENTS: list[dict[str, Any]] = json.loads(BODY)["items"]
NAMESPACE = "obs"


def accesses(events: list[dict[str, Any]], namespace: str = NAMESPACE) -> list[Access]:
    read = (cluster.access(cluster.request(event), namespace) for event in events)
    return [access for access in read if access is not None]


def event(uri: str, stage: str = "ResponseComplete", **changes: Any) -> dict[str, Any]:
    """The first one about a path, changed."""
    [first, *_] = [item for item in EVENTS if item["requestURI"].startswith(uri) and item["stage"] == stage]
    return {**first, **changes}


READ = "/api/v1/namespaces/obs/secrets/kafka-password"


def test_what_a_real_api_server_posts_is_told_once_for_each_request_of_interest() -> None:
    told = accesses(list(cluster.events(BODY)))
    assert [(access.who, access.action, access.target, str(access.outcome)) for access in told] == [
        ("system:apiserver", "list", "secrets of all namespaces", "allowed"),
        ("system:apiserver", "watch", "secrets of all namespaces", "allowed"),
        ("admin", "create", "secrets/kafka-password", "allowed"),
        ("admin", "get", "secrets/kafka-password", "allowed"),
        ("reader", "get", "secrets/kafka-password", "refused"),
        ("admin", "get", "secrets/kafka-password", "refused"),
        ("reader", "get", "secrets/kafka-password", "refused"),
        ("-", "get", "secrets", "refused"),
        ("system:anonymous", "get", "secrets", "refused"),
        ("admin", "list", "secrets", "allowed"),
        ("admin", "list", "secrets of all namespaces", "allowed"),
        ("admin", "get d", f"secrets/{UNREADABLE}", "allowed"),
        ("admin", "watch", "secrets", "allowed"),
        ("admin", "exec", "pods/kafka-0", "allowed"),
        ("reader", "exec", "pods/kafka-0", "refused"),
        ("admin", "read log", "pods/kafka-0", "allowed"),
        ("admin", "create", "events", "allowed"),
        ("admin", "create token", "serviceaccounts/default", "allowed"),
        ("admin", "create", "deployments.apps/x", "failed"),
        ("admin", "delete", "deployments.apps/x", "allowed"),
        ("admin", "deletecollection", "secrets", "allowed"),
        ("admin", "delete", "namespaces/obs", "allowed"),
    ]
    assert [access.detail["as"] for access in told if "as" in access.detail] == ["mallory"]
    assert {access.detail.get("group") for access in told if access.who == "reader"} == {None}


def test_of_another_namespace_only_what_reads_the_secrets_of_all_is_told() -> None:
    assert {access.target for access in accesses(EVENTS, "other")} == {"secrets of all namespaces"}


def test_the_address_is_that_of_the_connection_whatever_a_client_forwards() -> None:
    [listed] = [item for item in EVENTS if item["auditID"] == "mine"]
    assert listed["sourceIPs"] == ["203.0.113.9", "10.0.0.7", "127.0.0.1"]
    [access] = accesses([listed])
    assert access.origin == "127.0.0.1"


def test_a_request_with_the_audit_id_of_another_one_is_another_one() -> None:
    first = event(READ)
    second = {**first, "user": {"username": "mallory"}}
    third = {**first, "stageTimestamp": "2026-11-28T20:52:59.999999Z"}
    assert len({cluster.request(item).digest for item in (first, second, third)}) == 3
    assert cluster.request(json.loads(json.dumps(first))).digest == cluster.request(first).digest


@pytest.mark.parametrize("name", ["a\nb", 'x" admin', "../etc", "", "x" * 300, "\u202eevil"])
def test_names_are_taken_in_their_legal_form_only(name: str) -> None:
    place = {"resource": "secrets", "namespace": NAMESPACE, "name": name, "apiVersion": "v1"}
    user = {"username": name or "\n"}
    [access] = accesses([event(READ, objectRef=place, user=user)])
    assert access.who == UNREADABLE
    assert access.target in (f"secrets/{UNREADABLE}", "secrets")


def test_what_kubernetes_itself_tells_in_events_is_no_access_and_what_others_write_is() -> None:
    uri = "/api/v1/namespaces/obs/events"
    for name in ("system:node:a", "system:serviceaccount:kube-system:replicaset-controller", "system:kube-scheduler"):
        assert accesses([event(uri, user={"username": name})]) == []
    assert accesses([event(uri, user={"username": "system:serviceaccount:obs:audit"})])
    refused = {"code": 403}
    assert accesses([event(uri, user={"username": "system:node:a"}, responseStatus=refused)])


def test_a_session_is_told_when_it_begins_and_not_again_when_it_ends() -> None:
    uri = "/api/v1/namespaces/obs/pods/kafka-0/exec"
    began = event(uri, "ResponseStarted", responseStatus={"code": 101})
    over = event(uri, responseStatus={"code": 101})
    [access] = accesses([began, over])
    assert (access.action, access.outcome) == ("exec", Outcome.ALLOWED)


def test_a_request_in_which_the_server_broke_down_failed() -> None:
    [access] = accesses([event(READ, stage="ResponseComplete") | {"stage": "Panic", "responseStatus": {"code": 500}}])
    assert access.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"kind":"EventList"}',
        b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1","items":[]}',
        b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","items":[]}',
        b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[' + b"[" * 100_000,
        b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[' + b"1," * cluster.MOST_EVENTS + b"1]}",
    ],
)
def test_what_is_no_list_of_events_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableLineError):
        cluster.events(body)


@pytest.mark.parametrize("broken", [{"stage": "Other"}, {"verb": 1}, {"stageTimestamp": "soon"}, {"user": "admin"}])
def test_an_event_without_its_form_is_not_read(broken: dict[str, Any]) -> None:
    with pytest.raises(UnreadableLineError):
        cluster.request(event(READ) | broken)
