"""Logins, users and access rules: what one broken setting alone does not show."""

from __future__ import annotations

import pytest

from policy.model import Resource
from tests.policy.data_dataplane import BCRYPT, CONSUMER, NODE, SERVICE
from tests.policy.fixtures_dataplane import (
    acl,
    broken,
    config_map,
    platform,
    provider,
    said,
    secret,
    user,
    workload,
)


def _without(name: str, kind: str) -> list[Resource]:
    return [resource for resource in platform() if (resource.name, resource.kind) != (name, kind)]


def test_a_shadowed_list_of_mechanisms_counts_for_the_next_listener() -> None:
    node = {
        **NODE,
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-512",
    }
    assert said("kafka-listener-authentication", config_map({"server.properties": node})) == [
        'ConfigMap ns/files, server.properties: "sasl.enabled.mechanisms": a listener that is added would not ask for '
        "SCRAM-SHA-512: sasl.enabled.mechanisms is PLAIN | set it to SCRAM-SHA-512"
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"door:{BCRYPT}\n", []),
        ("", ["the password file has no users | add a line user:<bcrypt hash> for each user"]),
        ("door:secret\n", ["what is kept of the password of door is no bcrypt hash | keep its bcrypt hash"]),
    ],
)
def test_password_files_hold_bcrypt_hashes(content: str, says: list[str]) -> None:
    lines = [f"Secret ns/files, senders.htpasswd: {line}" for line in says]
    assert said("password-files-hashed", secret({"senders.htpasswd": content})) == lines


def test_the_cost_of_hashes_can_be_raised() -> None:
    file = secret({"senders.htpasswd": f"door:{BCRYPT}\n"})
    assert said("password-files-hashed", file, min_bcrypt_cost=12) == [
        "Secret ns/files, senders.htpasswd: the hash of the password of door has cost 10, less than 12"
        " | hash it with cost 12 or more"
    ]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["/bin/prometheus"], []),
        (["/bin/thanos", "query", "--web.disable-cors"], []),
        (
            ["/bin/prometheus", "--web.enable-admin-api"],
            ["--web.enable-admin-api lets every user delete metrics | remove it"],
        ),
        (
            ["/bin/thanos", "query"],
            ["--web.disable-cors is not given, so any web page may send queries | add --web.disable-cors"],
        ),
    ],
)
def test_interfaces_for_more_than_reading_are_closed(command: list[str], says: list[str]) -> None:
    where = "StatefulSet ns/server, spec.template.spec.containers[0].command"
    assert said("metrics-interfaces-closed", workload(command)) == [f"{where}: {line}" for line in says]


@pytest.mark.parametrize("identity", ["kafka-access-exists", "kafka-users-agree", "kafka-clients-allowed"])
def test_a_platform_whose_users_and_rules_agree_is_passed(identity: str) -> None:
    assert said(identity, platform()) == []


def test_brokers_without_any_users_or_rules_are_noticed() -> None:
    bare = [resource for resource in platform() if resource.kind not in ("Acl", "UserScramCredential")]
    assert said("kafka-access-exists", bare) == [
        "ConfigMap ns/kafka, resources: there are brokers, and no access rules | make access rules for every client",
        "ConfigMap ns/kafka, resources: there are brokers, and no SCRAM users | make SCRAM users for every client",
    ]


def test_a_user_without_rules_is_noticed() -> None:
    assert said("kafka-users-agree", [*platform(), user("idle")]) == [
        "UserScramCredential idle, username: the user idle has no access rule"
        " | add the rules that it needs, or remove it"
    ]


def test_a_denial_gives_no_rights() -> None:
    stack = [*platform(), user("idle"), acl("idle", aclPermissionType="Deny")]
    assert said("kafka-users-agree", stack) == [
        "UserScramCredential idle, username: the user idle has no access rule"
        " | add the rules that it needs, or remove it"
    ]


def test_a_rule_for_nobody_is_noticed() -> None:
    assert said("kafka-users-agree", [*platform(), acl("ghost")]) == [
        "Acl ghost-write-topic-numbers, aclPrincipal: there is no user ghost | make the user, or remove the rule"
    ]


def test_a_client_among_the_super_users_is_noticed() -> None:
    node = {**NODE, "super.users": "User:operator;User:broker;User:door"}
    stack = [config_map({"server.properties": node}, name="kafka"), *platform()[1:]]
    assert said("kafka-users-agree", stack) == [
        "UserScramCredential door, username: the client door is a super user"
        " | take it off super.users and give it access rules"
    ]


def test_an_unheard_of_super_user_is_noticed() -> None:
    node = {**NODE, "super.users": "User:operator;User:broker;User:mallory"}
    stack = [config_map({"server.properties": node}, name="kafka"), *platform()[1:]]
    assert said("kafka-users-agree", stack) == [
        'ConfigMap ns/kafka, server.properties: "super.users": User:mallory may do everything, and is neither a '
        "certificate's name nor the administrator | remove it"
    ]


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        (
            "door-write-topic-numbers",
            "Acl",
            'ConfigMap ns/door, config.yaml: exporters."kafka/metrics".auth.sasl.username: door needs Write on topic '
            "numbers, and no rule allows it | add the access rule",
        ),
        (
            "reader-read-topic-numbers",
            "Acl",
            "ConfigMap ns/reader, config.yaml: receivers.kafka.auth.sasl.username: reader needs Read on topic numbers, "
            "and no rule allows it | add the access rule",
        ),
        (
            "reader-read-group-reader",
            "Acl",
            "ConfigMap ns/reader, config.yaml: receivers.kafka.auth.sasl.username: reader needs Read on group reader, "
            "and no rule allows it | add the access rule",
        ),
        (
            "watcher-describe-group-*",
            "Acl",
            "ConfigMap ns/watcher, config.yaml: username: watcher needs Describe or Read or Write on group reader, "
            "and no rule allows it | add the access rule",
        ),
        (
            "reader",
            "UserScramCredential",
            "ConfigMap ns/reader, config.yaml: receivers.kafka.auth.sasl.username: the client logs in as reader, and "
            "there is no such user | make the SCRAM user reader with its access rules",
        ),
        (
            "watcher",
            "UserScramCredential",
            "ConfigMap ns/watcher, config.yaml: username: the client logs in as watcher, and there is no such user"
            " | make the SCRAM user watcher with its access rules",
        ),
    ],
)
def test_a_client_that_lacks_its_user_or_a_rule_is_noticed(name: str, kind: str, says: str) -> None:
    stack = _without(name, kind)
    assert len(stack) == len(platform()) - 1
    assert said("kafka-clients-allowed", stack) == [says]


def test_a_client_that_moves_to_another_topic_needs_a_rule_for_it() -> None:
    moved = broken(CONSUMER, ("receivers", "kafka", "metrics", "topics"), ["others"])
    stack = [*_without("reader", "ConfigMap"), config_map({"config.yaml": moved}, name="reader")]
    assert said("kafka-clients-allowed", stack) == [
        "ConfigMap ns/reader, config.yaml: receivers.kafka.auth.sasl.username: reader needs Read on topic others, "
        "and no rule allows it | add the access rule"
    ]


def test_services_that_name_no_brokers_are_no_clients() -> None:
    service = {key: value for key, value in SERVICE.items() if key != "bootstrap"}
    assert said("kafka-service-login", config_map({"config.yaml": {**service, "username": ""}})) == []


def test_an_administrator_is_known_by_the_provider_that_logs_in() -> None:
    stack = [resource for resource in platform() if resource.kind != "kafka"]
    assert said("kafka-users-agree", [*stack, provider(saslUsername="other")]) == [
        'ConfigMap ns/kafka, server.properties: "super.users": User:operator may do everything, and is neither a '
        "certificate's name nor the administrator | remove it"
    ]


def test_a_service_that_people_sign_in_to_needs_no_password_for_metrics() -> None:
    files = {"cert_file": "/etc/tls/tls.crt", "key_file": "/etc/tls/tls.key"}
    login = {"listen": "0.0.0.0:8443", **files, "accounts_file": "/etc/accounts.json"}
    assert said("service-metrics-closed", config_map({"config.yaml": login})) == []
    assert said("service-metrics-closed", config_map({"config.yaml": {**login, "key_file": ""}})) == [
        "ConfigMap ns/files, config.yaml: key_file: the service serves clear text on 0.0.0.0:8443: key_file is empty"
        " | set key_file to the workload's certificate"
    ]


def test_a_service_that_names_one_topic_inside_needs_a_rule_for_it() -> None:
    inner = {key: SERVICE[key] for key in ("bootstrap", "ca_file", "username", "password_file")}
    nested = config_map({"config.yaml": {"kafka": {**inner, "topic": "others", "username": "door"}}}, name="map")
    assert said("kafka-clients-allowed", [*platform(), nested]) == [
        "ConfigMap ns/map, config.yaml: kafka.username: door needs Describe or Read or Write on topic others, "
        "and no rule allows it | add the access rule"
    ]


WRITER = {
    "kafka": {key: SERVICE[key] for key in ("bootstrap", "ca_file", "password_file")} | {"user": "teller"},
    "topics": {"told": "numbers", "seen": "others"},
}
TELLER = [user("teller"), acl("teller"), acl("teller", name="others")]


def test_a_service_that_names_topics_by_what_it_writes_needs_to_write_each() -> None:
    stack = [*platform(), config_map({"config.yaml": WRITER}, name="teller"), *TELLER]
    assert said("kafka-clients-allowed", stack) == []
    looking = [acl("teller", "Describe") if resource is TELLER[1] else resource for resource in stack]
    assert said("kafka-clients-allowed", looking) == [
        "ConfigMap ns/teller, config.yaml: kafka.user: teller needs Write on topic numbers, and no rule allows it"
        " | add the access rule"
    ]


def test_a_service_whose_user_is_gone_is_noticed_although_a_certificate_has_its_name() -> None:
    certificate = Resource("kubernetes:x/v1:Certificate", "teller", {"spec": {"commonName": "teller"}})
    stack = [*platform(), config_map({"config.yaml": WRITER}, name="teller"), *TELLER[1:], certificate]
    assert said("kafka-clients-allowed", stack) == [
        "ConfigMap ns/teller, config.yaml: kafka.user: the client logs in as teller, and there is no such user"
        " | make the SCRAM user teller with its access rules"
    ]


def test_a_service_does_not_need_to_write_what_it_lists() -> None:
    reader = {**WRITER, "kafka": {**WRITER["kafka"], "topics": ["numbers"]}, "topics": {}}
    stack = [*platform(), config_map({"config.yaml": reader}, name="teller"), user("teller"), acl("teller", "Read")]
    assert said("kafka-clients-allowed", stack) == []
