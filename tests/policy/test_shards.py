"""Rules about shards, on what the platform renders with its metrics in two of them, and with one thing changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from policy.model import Resource
from policy.rules import RULES
from tests.policy.fixtures_servers import rule, rules_of, said
from tests.support import engine

Change = Callable[[Any], None]


@pytest.fixture(scope="module")
def platform() -> list[Resource]:
    return [Resource(one.token, one.name, one.inputs) for one in engine.sharded().resources]


def changed(resources: list[Resource], kind: str, name: str, file: str, change: Change) -> list[Resource]:
    """The resources with one file, or one pod specification (``file`` empty), changed."""
    result = []
    hits = 0
    for resource in resources:
        props = copy.deepcopy(resource.props)
        if resource.kind == kind and props.get("metadata", {}).get("name") == name:
            hits += 1
            if file:
                content = yaml.safe_load(props["data"][file])
                change(content)
                props["data"][file] = yaml.safe_dump(content)
            else:
                change(props["spec"]["template"]["spec"]["containers"][0]["command"])
        result.append(Resource(resource.type, resource.name, props))
    assert hits == 1
    return result


def without(option: str) -> Change:
    return lambda command: command.remove(next(one for one in command if one.startswith(option)))


def move(content: Any) -> None:
    content["global"]["external_labels"]["prometheus_shard"] = "2"


def count(content: Any) -> None:
    content["receivers"]["kafkarecords"]["shard"]["count"] = 3


def twice(content: Any) -> None:
    content["receivers"]["kafkarecords"]["shard"]["index"] = 0


def clear(content: Any) -> None:
    content["alertmanagers"][0]["scheme"] = "http"


def unverified(content: Any) -> None:
    content["alertmanagers"][0]["http_config"]["tls_config"]["insecure_skip_verify"] = True


def anonymous(content: Any) -> None:
    del content["alertmanagers"][0]["http_config"]["basic_auth"]


RULER, FILES = "thanos-rule-primary", "alertmanagers.yml"
SERVER, CONSUMER = "prometheus-primary-shard-1", "metrics-consumer-secondary-shard-1"
CASES = [
    (
        "prometheus-shard-pairs",
        ("ConfigMap", SERVER, "prometheus.yml", move),
        ["shard 1 has no server in the replica primary", "shard 2 has no server in the replica secondary"],
    ),
    ("consumer-shards-complete", ("ConfigMap", CONSUMER, "config.yaml", count), ["do not agree how many shards"]),
    ("consumer-shards-complete", ("ConfigMap", CONSUMER, "config.yaml", twice), ["are of the shards 0, 0: partitions"]),
    (
        "ruler-alerts-told-once",
        ("StatefulSet", RULER, "", without("--alert.label-drop=prometheus_replica")),
        ["leave the ruler with the label prometheus_replica"],
    ),
    (
        "ruler-alerts-told-once",
        ("StatefulSet", RULER, "", without("--alertmanagers.config-file")),
        ["the ruler tells nobody of its alerts"],
    ),
    ("ruler-alerts-tls", ("ConfigMap", RULER, FILES, clear), ["in clear text: scheme is http"]),
    ("ruler-alerts-tls", ("ConfigMap", RULER, FILES, unverified), ["Alertmanager is not verified"]),
    ("ruler-alerts-tls", ("ConfigMap", RULER, FILES, anonymous), ["shows Alertmanager no login"]),
]


@pytest.mark.parametrize(("rule_id", "change", "words"), CASES)
def test_a_change_that_breaks_a_promise_is_said(
    rule_id: str, change: tuple[str, str, str, Change], words: list[str], platform: list[Resource]
) -> None:
    findings = said(rule(rule_id), changed(platform, *change))
    assert len(findings) == len(words)
    for finding, part in zip(findings, words, strict=True):
        assert part in finding


@pytest.mark.parametrize("rule_id", sorted({case[0] for case in CASES}))
def test_the_platform_keeps_every_promise_about_shards(rule_id: str, platform: list[Resource]) -> None:
    assert said(rule(rule_id), platform) == []


def test_the_platform_in_shards_keeps_every_promise_that_it_keeps_with_one(platform: list[Resource]) -> None:
    before = [Resource(one.token, one.name, one.inputs) for one in engine.recorded("local").resources]
    assert not _problems(platform) - _problems(before)


def _problems(resources: list[Resource]) -> set[tuple[str, str]]:
    problems: set[tuple[str, str]] = set()
    for one in RULES:
        look, options = one.resource, one.defaults()
        if look is None:
            assert one.stack is not None
            findings = [*one.stack(resources, options)]
        else:
            seen = (resource for resource in resources if not one.kinds or resource.kind in one.kinds)
            findings = [finding for resource in seen for finding in look(resource, options)]
        problems |= {(one.id, finding.problem) for finding in findings}
    return problems


def test_a_further_shard_sends_no_alerts_and_the_first_must(platform: list[Resource]) -> None:
    assert said(rule("alert-delivery-wired"), platform) == []

    def mute(content: Any) -> None:
        content["alerting"]["alertmanagers"] = []

    silent = changed(platform, "ConfigMap", "prometheus-primary", "prometheus.yml", mute)
    assert len(said(rule("alert-delivery-wired"), silent)) == 1


def test_every_rule_about_metrics_is_broken() -> None:
    elsewhere = {
        *("prometheus-external-labels", "metrics-reads-bounded", "thanos-flags-given"),
        *("prometheus-replica-named", "thanos-merges-replicas", "prometheus-late-samples", "prometheus-retention"),
    }
    assert {case[0] for case in CASES} | elsewhere == {one.id for one in rules_of("prometheus")}
