"""Alertmanager servers."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.fixtures_alerting import GOOD, build
from tests.policy.fixtures_servers import all_said, broken, cases, rule, rules_of, said, workload

SET = "StatefulSet mon/notifier"
ARGS = f"{SET}, spec.template.spec.containers[0].args"
SERVERS = cases("alerting")


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


def test_every_rule_about_alertmanagers_and_their_senders_is_broken() -> None:
    broken_ones = {case[0] for case in [*SERVERS, *cases("alerting_senders")]}
    assert broken_ones | {"alert-delivery-wired", "alert-delivery-whole", "alert-identity"} == {
        known_rule.id for known_rule in rules_of("alerting")
    }
