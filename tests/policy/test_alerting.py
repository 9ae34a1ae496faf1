"""Alertmanager servers."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.fixtures_alerting import GOOD, build
from tests.policy.fixtures_servers import GONE, all_said, broken, rule, rules_of, said, workload

SET = "StatefulSet mon/notifier"
ARGS = f"{SET}, spec.template.spec.containers[0].args"
GOSSIP = "Secret mon/notifier, gossip.yml:"
CERT_FIX = "to the workload's certificate."
SERVERS: list[tuple[str, str, Any, list[str]]] = [
    (
        "alertmanager-cluster",
        "args/cluster.tls-config",
        GONE,
        [
            f"{ARGS}: Alertmanager starts without --cluster.tls-config, so gossip is clear text that anybody may join. "
            "Fix: add --cluster.tls-config with a file that demands certificates on both sides."
        ],
    ),
    (
        "alertmanager-cluster",
        "args/cluster.peer",
        GONE,
        [
            f"{ARGS}: Alertmanager starts without --cluster.peer, so it finds no other one. "
            "Fix: name the peers with --cluster.peer=<host>:9094."
        ],
    ),
    (
        "alertmanager-cluster",
        "args/cluster.listen-address",
        "",
        [f"{ARGS}[3]: --cluster.listen-address is empty, which switches the cluster off. Fix: listen on 0.0.0.0:9094."],
    ),
    (
        "alertmanager-gossip-private",
        "args/cluster.allow-insecure-public-advertise-address-discovery",
        "true",
        [
            f"{ARGS}[7]: --cluster.allow-insecure-public-advertise-address-discovery lets gossip leave by a public "
            "address. Fix: remove it and set --cluster.advertise-address to the pod's address."
        ],
    ),
    (
        "alertmanager-gossip-tls",
        "args/cluster.tls-config",
        "/etc/am/other.yml",
        [
            f"{ARGS}[5]: the gossip TLS file /etc/am/other.yml is in no ConfigMap or Secret that is mounted there. "
            "Fix: mount a file with tls_server_config and tls_client_config at that path."
        ],
    ),
    (
        "alertmanager-gossip-tls",
        "gossip/tls_server_config/client_auth_type",
        "VerifyClientCertIfGiven",
        [
            f"{GOSSIP}.tls_server_config.client_auth_type: gossip does not demand a certificate from its peers: "
            "client_auth_type is VerifyClientCertIfGiven. Fix: set client_auth_type to RequireAndVerifyClientCert."
        ],
    ),
    (
        "alertmanager-gossip-tls",
        "gossip/tls_server_config/client_auth_type",
        GONE,
        [
            f"{GOSSIP}.tls_server_config.client_auth_type: gossip does not demand a certificate from its peers: "
            "client_auth_type is not set. Fix: set client_auth_type to RequireAndVerifyClientCert."
        ],
    ),
    (
        "alertmanager-gossip-tls",
        "gossip/tls_server_config/client_ca_file",
        GONE,
        [
            f"{GOSSIP}.tls_server_config.client_ca_file: gossip has no authority to check its peers' certificates "
            "with. "
            "Fix: set client_ca_file to the platform's CA."
        ],
    ),
    (
        "alertmanager-gossip-tls",
        "gossip/tls_server_config/cert_file",
        GONE,
        [
            f"{GOSSIP}.tls_server_config.cert_file: Alertmanager's gossip has no cert_file, so no TLS. Fix: set "
            f"cert_file {CERT_FIX}"
        ],
    ),
    (
        "alertmanager-gossip-tls",
        "gossip/tls_client_config",
        GONE,
        [
            f"{GOSSIP}.tls_client_config: the other Alertmanager is reached without TLS settings. "
            "Fix: set ca_file to the platform's CA."
        ],
    ),
    (
        "alertmanager-gossip-tls",
        "gossip/tls_client_config/key_file",
        GONE,
        [
            f"{GOSSIP}.tls_client_config.key_file: gossip shows its peers no certificate: key_file is not set. Fix: "
            f"set key_file {CERT_FIX}"
        ],
    ),
    (
        "alertmanager-gossip-tls",
        "gossip/tls_client_config/insecure_skip_verify",
        True,
        [
            f"{GOSSIP}.tls_client_config.insecure_skip_verify: the other Alertmanager is not verified: "
            "insecure_skip_verify is true. Fix: remove insecure_skip_verify."
        ],
    ),
    (
        "alertmanager-web",
        "args/web.config.file",
        GONE,
        [
            f"{ARGS}: Alertmanager starts without --web.config.file, so its API has neither TLS nor a login. "
            "Fix: add --web.config.file with tls_server_config and basic_auth_users."
        ],
    ),
    (
        "alertmanager-web",
        "args/web.config.file",
        "/etc/web.yml",
        [
            f"{ARGS}[2]: the web file /etc/web.yml is in no ConfigMap or Secret that is mounted there. "
            "Fix: mount a file with tls_server_config and basic_auth_users at that path."
        ],
    ),
    (
        "alertmanager-pair",
        "replicas",
        1,
        [f"{SET}, spec.replicas: the stack has 1 Alertmanager, not 2. Fix: run 2 of them in one gossip cluster."],
    ),
    (
        "alertmanager-turn",
        "args/cluster.peer-timeout",
        GONE,
        [
            f"{ARGS}: an Alertmanager waits for 15s before it tells in place of another one, which is what it does by "
            "itself. Fix: set --cluster.peer-timeout to 5s or less."
        ],
    ),
    (
        "alertmanager-turn",
        "args/cluster.peer-timeout",
        "10s",
        [
            f"{ARGS}[6]: an Alertmanager waits for 10s before it tells in place of another one. "
            "Fix: set --cluster.peer-timeout to 5s or less."
        ],
    ),
    (
        "alertmanager-storage",
        "args/storage.path",
        "/tmp/data",
        [
            f"{ARGS}[1]: silences and the log of notifications lie in /tmp/data, which is lost with the pod. "
            "Fix: point --storage.path into a volume of a PersistentVolumeClaim."
        ],
    ),
    (
        "alertmanager-storage",
        "claim",
        "",
        [
            f"{ARGS}[1]: silences and the log of notifications lie in /data, which is lost with the pod. "
            "Fix: point --storage.path into a volume of a PersistentVolumeClaim."
        ],
    ),
    (
        "alertmanager-storage",
        "args/data.retention",
        "1h",
        [
            f"{ARGS}[7]: silences and the log of notifications are kept for 1h, less than 120h. "
            "Fix: set --data.retention to 120h or more."
        ],
    ),
]


def test_the_good_stack_passes_every_rule() -> None:
    assert all_said(build(GOOD)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "messages"), SERVERS)
def test_a_broken_server_is_noticed(rule_id: str, path: str, value: Any, messages: list[str]) -> None:
    assert said(rule(rule_id), build(broken(GOOD, path, value))) == messages


def test_a_web_file_without_tls_and_users_is_none() -> None:
    assert said(rule("alertmanager-web"), build(broken(GOOD, "web", {"http_server_config": {"http2": True}}))) == [
        f"{ARGS}[2]: the web file /etc/am/web.yml is in no ConfigMap or Secret that is mounted there. "
        "Fix: mount a file with tls_server_config and basic_auth_users at that path."
    ]


def test_a_shell_around_the_server_is_looked_through() -> None:
    wrapped = workload(
        "StatefulSet",
        "n",
        "obs/anything:1",
        command=["/bin/sh", "-c", "exec /bin/alertmanager --cluster.peer=n-0:9094"],
    )
    assert said(rule("alertmanager-cluster"), [wrapped]) == [
        "StatefulSet mon/n, spec.template.spec.containers[0].command: Alertmanager starts without "
        "--cluster.tls-config, "
        "so gossip is clear text that anybody may join. "
        "Fix: add --cluster.tls-config with a file that demands certificates on both sides."
    ]


def test_another_program_of_the_image_is_not_the_server() -> None:
    client = workload("Job", "check", "prom/alertmanager:v0.31.1", command=["/bin/amtool", "check-config"])
    assert [text for known_rule in rules_of("alerting") for text in said(known_rule, [client])] == []


def test_a_gossip_file_that_is_not_known_yet_is_not_called_missing() -> None:
    resources = build(GOOD)
    unknown = Resource(resources[0].type, "notifier", {**resources[0].props, "stringData": UNKNOWN})
    with pytest.raises(UnknownValueError, match="Secret mon/notifier, stringData"):
        said(rule("alertmanager-gossip-tls"), [unknown, *resources[1:]])


def test_every_rule_about_alertmanagers_is_broken_here() -> None:
    assert {case[0] for case in SERVERS} == {known_rule.id for known_rule in rules_of("alerting")}
