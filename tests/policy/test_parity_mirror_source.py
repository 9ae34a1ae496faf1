"""MirrorMaker 2 in the region that it copies, and how it is run."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_servers import GONE, Data, broken, config_map, properties_text, rule, said

IDS = ("mirror-source-untouched", "mirror-named", "mirror-tls-versions", "mirror-runs-checked-file")
MAIN = "org.apache.kafka.connect.mirror.MirrorMaker"
FLOW: Data = {
    "clusters": "a,b",
    "a.bootstrap.servers": "kafka.a:9094",
    "b.bootstrap.servers": "kafka.b:9092",
    "a->b.enabled": "true",
    "a->b.topics": "telemetry-metrics,alerts[.]raw",
    "a->b.groups": "sampler",
    "a->b.offset-syncs.topic.location": "target",
    "b->a.enabled": "false",
    "b->a.emit.heartbeats.enabled": "false",
}
WORKLOAD: Data = {
    "kind": "Deployment",
    "metadata": {"name": "mirror", "namespace": "mon"},
    "spec": {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "mirror",
                        "command": ["java", MAIN, "/etc/mirror/mm2.properties", "--clusters", "b"],
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/mirror"}],
                    }
                ],
                "volumes": [{"name": "config", "configMap": {"name": "mirror"}}],
            }
        },
    },
}
FILE = "ConfigMap mon/mirror, mm2.properties:"
DEPLOYMENT = "Deployment mon/mirror,"
COMMAND = "spec/template/spec/containers/0/command"


def files(data: Data) -> list[Resource]:
    return [config_map("mirror", **{"mm2.properties": properties_text(data)})]


def run(data: Data, flow: Data = FLOW) -> list[Resource]:
    return [*files(flow), Resource("kubernetes:apps/v1:Deployment", "mirror", data)]


def test_the_good_mirror_passes() -> None:
    for identifier in IDS:
        assert said(rule(identifier), run(WORKLOAD)) == []


@pytest.mark.parametrize("value", [GONE, "source"])
def test_offset_syncs_in_the_source_are_noticed(value: Any) -> None:
    key = "a->b.offset-syncs.topic.location"
    assert said(rule("mirror-source-untouched"), files(broken(FLOW, key, value))) == [
        f"{FILE} {key}: a->b writes its offset syncs into a. Fix: set offset-syncs.topic.location to target."
    ]


def test_heartbeats_into_the_source_are_noticed() -> None:
    key = "b->a.emit.heartbeats.enabled"
    assert said(rule("mirror-source-untouched"), files(broken(FLOW, key, GONE))) == [
        f"{FILE} {key}: heartbeats are written into a: emit.heartbeats.enabled of b->a is true. "
        f"Fix: set {key} to false."
    ]


def test_a_flow_back_is_noticed() -> None:
    changed = broken(FLOW, "b->a.enabled", "true") | {"emit.heartbeats.enabled": "false"}
    findings = said(rule("mirror-source-untouched"), files(changed))
    assert f"{FILE} b->a.enabled: a and b are copied into each other under the same names, for ever. " in findings[0]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("topics", GONE, "topics has .*, which is not one topic. Fix: name every topic; write a dot as [.]."),
        ("topics", "alerts.raw", "topics has alerts.raw, which is not one topic. Fix: name every topic; write a dot "),
        ("topics", "a,", "topics has an empty entry, which is not one topic. Fix: name every topic; write a dot as "),
        ("groups", "sampler.*", "groups has sampler.*, which is not one group. Fix: name every group; write a dot as"),
    ],
)
def test_patterns_are_noticed(key: str, value: Any, problem: str) -> None:
    [finding] = said(rule("mirror-named"), files(broken(FLOW, f"a->b.{key}", value)))
    assert finding.startswith(f"{FILE} a->b.{key}: {problem}")


def test_a_broken_version_of_tls_is_noticed() -> None:
    changed = FLOW | {"a.ssl.enabled.protocols": "TLSv1.3, TLSv1.1"}
    assert said(rule("mirror-tls-versions"), files(changed)) == [
        f"{FILE} a.ssl.enabled.protocols: MirrorMaker may talk to a with TLSv1.1, which is broken. "
        "Fix: set it to TLSv1.3,TLSv1.2."
    ]


RUNS: list[tuple[str, Any, str]] = [
    (
        COMMAND,
        ["java", MAIN, "/tmp/other.properties", "--clusters", "b"],
        f"{DEPLOYMENT} spec.template.spec.containers[0].command: MirrorMaker reads /tmp/other.properties, which is in "
        "no ConfigMap or Secret of this stack. Fix: mount its properties there and name them.",
    ),
    (
        COMMAND,
        ["java", MAIN, "/etc/mirror/mm2.properties"],
        f"{DEPLOYMENT} spec.template.spec.containers[0].command: MirrorMaker serves a, into which nothing is copied. "
        "Fix: add --clusters b.",
    ),
    (
        "spec/replicas",
        2,
        f"{DEPLOYMENT} spec.replicas: 2 MirrorMakers share a flow, and have no interface to each other. "
        "Fix: run one, or set dedicated.mode.enable.internal.rest to true with TLS.",
    ),
    (
        "spec/strategy/type",
        "RollingUpdate",
        f"{DEPLOYMENT} spec.strategy.type: a new MirrorMaker starts beside the old one, and they have no interface to "
        "each other. Fix: set it to Recreate.",
    ),
]


@pytest.mark.parametrize(("path", "value", "message"), RUNS)
def test_a_mirror_that_is_run_otherwise_is_noticed(path: str, value: Any, message: str) -> None:
    assert said(rule("mirror-runs-checked-file"), run(broken(WORKLOAD, path, value))) == [message]


def test_several_mirrors_may_share_a_flow_when_they_talk_to_each_other() -> None:
    together = FLOW | {"dedicated.mode.enable.internal.rest": "true"}
    workload = broken(broken(WORKLOAD, "spec/replicas", 2), "spec/strategy/type", GONE)
    assert said(rule("mirror-runs-checked-file"), run(workload, together)) == []


def test_other_files_and_workloads_are_left_alone() -> None:
    other = config_map("client", **{"client.properties": properties_text({"bootstrap.servers": "kafka:9093"})})
    broker = broken(WORKLOAD, COMMAND, ["java", "kafka.Kafka", "/etc/mirror/mm2.properties"])
    resources = [other, Resource("kubernetes:apps/v1:Deployment", "broker", broker)]
    for identifier in IDS:
        assert said(rule(identifier), resources) == []
