"""Who may do what: the page is what the platform renders, and every login of the platform is on it."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.core.platform import PROJECT
from ops.permissions.matrix import EVERY_POD, EVERYBODY, edges, kafka_grants, matrix, service_accounts
from ops.permissions.model import PASSWORD, Edge, KafkaGrant, Matrix, Passwords, allows, deployed
from policy.model import Resource
from tests.support import access_page
from tests.support.access import matrix_of, rendered
from tests.support.engine import STACKS, bcrypt_of, password_of, recorded

NO_LOGINS = re.compile(r"(-keystore|-cookies|^gateway-hash-key|^grafana-secret-key|^backup-signing|^backup-seal-.+)$")
"""Passwords that open files, cookies and hashes, or sign backups, and nobody logs in with."""
ELSEWHERE = re.compile(r"^(kafka-admin|kafka-user-.+|grafana-administrator)$")
"""Kafka keeps its users itself, and Grafana its first administrator."""


@functools.cache
def passwords(stack: str) -> Passwords:
    recording = recorded(stack)
    generated = [password_of(password.name) for password in recording.of(PASSWORD)]
    return Passwords({bcrypt_of(password): password for password in generated}, recording.passwords.values())


def logins(access: Matrix) -> list[tuple[str, str, str]]:
    """Server, user, what the server keeps in place of the password."""
    return [
        *((server.label, user.name, user.verifier) for server in access.http for user in server.users),
        *(("postgres", role.name, role.verifier) for role in access.database),
        *(("search", user.name, user.verifier) for user in access.search),
    ]


def test_the_committed_page_is_what_the_platform_renders() -> None:
    page = (PROJECT / "docs" / "access.md").read_text(encoding="utf-8")
    assert page == access_page.text(matrix_of("prod")), "run `make docs` and commit docs/access.md"


def test_the_page_is_read_in_a_hundred_columns_and_holds_no_secret() -> None:
    text = access_page.text(matrix_of("prod"))
    assert [line for line in text.splitlines() if len(line) > access_page.WIDTH] == []
    assert [name for name, secret in recorded("prod").passwords.items() if secret in text] == []
    assert "$2" not in text


@pytest.mark.parametrize("stack", STACKS)
def test_every_password_of_the_platform_opens_something_of_the_matrix(stack: str) -> None:
    recording, known = recorded(stack), passwords(stack)
    opened = {known.of(user, verifier) for _, user, verifier in logins(matrix_of(stack))}
    names = [password.name for password in recording.of(PASSWORD)]
    unused = [name for name in names if password_of(name) not in opened]
    assert [name for name in unused if not NO_LOGINS.search(name) and not ELSEWHERE.search(name)] == []


@pytest.mark.parametrize("stack", ["local", "prod"])
def test_every_login_of_the_matrix_has_a_password(stack: str) -> None:
    known = passwords(stack)
    assert [login[:2] for login in logins(matrix_of(stack)) if known.of(*login[1:]) is None] == []


def test_a_password_of_another_region_is_found_among_those_that_are_told() -> None:
    access, known = matrix_of("dr"), passwords("dr")
    (gateway,) = (server for server in access.http if server.label == "gateway:4318/")
    (device,) = (user for user in gateway.users if user.name == "device")
    assert known.of(device.name, device.verifier) is None
    theirs = password_of("other device")
    assert Passwords({}, [theirs]).of(device.name, device.verifier) == theirs


@pytest.mark.parametrize("stack", STACKS)
def test_every_user_of_kafka_has_rights_and_none_of_them_all(stack: str) -> None:
    access = matrix_of(stack)
    assert {grant.user for grant in access.kafka} == set(access.kafka_users)
    assert {grant.operation for grant in access.kafka} <= {"Read", "Write", "Describe", "DescribeConfigs", "Create"}
    assert set(access.kafka_super_users) >= {"admin", "kafka"}


@pytest.mark.parametrize("stack", STACKS)
def test_every_port_of_a_workload_that_is_let_in_belongs_to_a_workload(stack: str) -> None:
    access = matrix_of(stack)
    workloads = {
        resource.object_name
        for resource in rendered(stack)
        if resource.kind in ("Deployment", "StatefulSet", "DaemonSet", "CronJob")
    }
    assert {edge.to for edge in access.edges} <= workloads
    assert {server.workload for server in access.http} <= workloads
    assert not [edge for edge in access.edges if edge.source == EVERYBODY or edge.port == 0]


def test_what_is_given_to_one_user_shows_in_the_page() -> None:
    grant = {
        "aclPrincipal": "User:sampler",
        "aclOperation": "Delete",
        "aclResourceType": "Topic",
        "aclResourceName": "telemetry-",
        "aclPermissionType": "Allow",
        "resourcePatternTypeFilter": "Prefixed",
    }
    text = access_page.text(matrix([*rendered("prod"), Resource("kafka:index/acl:Acl", "more", grant)]))
    row = "- **sampler**: Delete topic `telemetry-*`; Read group `sampler`; Read topic `telemetry-traces`"
    assert row in " ".join(text.split())


@pytest.mark.parametrize(
    ("grant", "operation", "resource", "expected"),
    [
        ({"operation": "Read"}, "Read", "logs", True),
        ({"operation": "Read"}, "Describe", "logs", True),
        ({"operation": "Read"}, "Write", "logs", False),
        ({"operation": "Read"}, "Read", "logs-2", False),
        ({"operation": "Read", "prefixed": True}, "Read", "logs-2", True),
        ({"operation": "All"}, "Delete", "logs", True),
        ({"operation": "DescribeConfigs"}, "Describe", "logs", False),
        ({"operation": "Read", "resource": "*"}, "Read", "anything", True),
        ({"operation": "Read", "kind": "Group"}, "Read", "logs", False),
        ({"operation": "Read", "denied": True}, "Read", "logs", False),
    ],
)
def test_a_grant_covers_what_kafka_would_allow(
    grant: dict[str, Any], operation: str, resource: str, expected: bool
) -> None:
    given = KafkaGrant(**{"user": "one", "kind": "Topic", "resource": "logs", **grant})
    assert allows([given], operation, "Topic", resource) is expected


def test_what_is_forbidden_is_stronger_than_what_is_allowed() -> None:
    common: dict[str, Any] = {"user": "one", "operation": "Read", "kind": "Topic"}
    every, one = KafkaGrant(**common, resource="*"), KafkaGrant(**common, resource="logs", denied=True)
    assert allows([every, one], "Read", "Topic", "metrics")
    assert not allows([every, one], "Read", "Topic", "logs")
    assert allows([every, one], "Describe", "Topic", "logs"), "only reading is forbidden"


def kubernetes(kind: str, name: str, **rest: Any) -> Resource:
    metadata = {"name": name, "namespace": "obs", "labels": {}}
    return Resource(f"kubernetes:x/v1:{kind}", name, {"metadata": metadata, **rest})


def bound(kind: str, role: dict[str, str], *subjects: str) -> Resource:
    people = [{"kind": "ServiceAccount", "name": name} for name in subjects]
    return kubernetes(kind, "binding", roleRef=role, subjects=people)


def test_a_role_gives_its_rules_to_whom_it_is_bound() -> None:
    rule = {"verbs": ["get", "list"], "resources": ["pods"], "apiGroups": [""], "resourceNames": ["one"]}
    accounts = service_accounts(
        [
            kubernetes("ServiceAccount", "agent"),
            kubernetes("ServiceAccount", "other"),
            kubernetes("Role", "reader", rules=[rule]),
            bound("RoleBinding", {"kind": "Role", "name": "reader"}, "agent"),
            bound("ClusterRoleBinding", {"kind": "ClusterRole", "name": "cluster-admin"}, "agent"),
            kubernetes(
                "Deployment",
                "agent",
                spec={"template": {"metadata": {}, "spec": {"serviceAccountName": "agent", "containers": []}}},
            ),
        ]
    )
    assert list(access_page.kubernetes(accounts)) == [
        "**agent** (token in the pods of `agent`): all of ClusterRole cluster-admin in the whole cluster; "
        "get, list pods named `one` in obs",
        "no token in any pod, no role: `other`",
    ]


def workload(name: str, **labels: str) -> Resource:
    template = {"metadata": {"labels": {"app.kubernetes.io/name": name, **labels}}, "spec": {"containers": []}}
    return kubernetes("Deployment", name, spec={"template": template})


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ({"podSelector": {"matchLabels": {"obs.access/server": "true"}}}, "client"),
        ({"podSelector": {"matchLabels": {"obs.access/nobody": "true"}}}, "obs.access/nobody=true"),
        ({"podSelector": {}}, EVERY_POD),
        ({"ipBlock": {"cidr": "10.0.0.0/8"}}, "10.0.0.0/8"),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}, "namespace x"),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, "namespaces with a=b"),
        (None, EVERYBODY),
    ],
)
def test_an_edge_names_who_is_let_in(peer: dict[str, Any] | None, source: str) -> None:
    spec = {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "server"}},
        "ingress": [{**({"from": [peer]} if peer else {}), "ports": [{"port": 9000.0, "protocol": "TCP"}]}],
    }
    resources = [
        workload("server"),
        workload("client", **{"obs.access/server": "true"}),
        kubernetes("NetworkPolicy", "server", spec=spec),
    ]
    assert list(edges(resources)) == [Edge(to="server", port=9000, source=source)]


SECRET = "1b47061264138c4ac30d75fd1eb44270"
MARK = "4dabf18193072939515e22adb298388d"


def state(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"version": 3, "deployment": {"resources": list(entries)}}


def test_an_exported_state_gives_resources_and_passwords() -> None:
    def secret(text: str) -> dict[str, str]:
        return {MARK: SECRET, "plaintext": f'"{text}"'}

    urn = "urn:pulumi:prod::observability::{}::{}"
    password = {
        "urn": urn.format(PASSWORD, "reader"),
        "type": PASSWORD,
        "custom": True,
        "inputs": {"length": 32},
        "outputs": {"result": secret("open sesame"), "bcryptHash": secret("$2b$10$hash")},
    }
    acl = {
        "urn": urn.format("kafka:index/acl:Acl", "acl"),
        "type": "kafka:index/acl:Acl",
        "custom": True,
        "inputs": {
            "aclPrincipal": "User:one",
            "aclOperation": "Read",
            "aclResourceType": "Topic",
            "aclResourceName": "logs",
        },
    }
    access = deployed(state(password, acl), ["told elsewhere"])
    assert access.passwords.of("reader", "$2b$10$hash") == "open sesame"
    assert access.passwords.of("reader", "$2a$10$hash") == "open sesame"
    assert access.passwords.of("reader", "$2b$10$other") is None
    assert list(kafka_grants(access.resources)) == [
        KafkaGrant(user="one", operation="Read", kind="Topic", resource="logs")
    ]
    assert repr(access) == "Deployed(2 resources, 2 passwords)"


def test_something_else_than_a_state_is_one_line() -> None:
    with pytest.raises(OpsError, match="is no exported state: it has no deployment"):
        deployed({"some": "thing"})
