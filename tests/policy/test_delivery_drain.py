"""Collectors with a queue on disk are asked before they are told to end."""

from __future__ import annotations

from typing import Any

import pytest

from components.gateway.config import DRAIN, DRAIN_LIMIT_S
from policy.model import Resource
from policy.rules import _dataplane
from tests.policy.data_dataplane import DOOR
from tests.policy.fixtures_dataplane import GONE, broken, config_map, said, workload

RULE = "collector-drains-before-end"
ASKED = {"preStop": {"httpGet": {"path": "/", "port": 13134, "scheme": "HTTPS"}}}
POD = ("spec", "template", "spec")


def door(lifecycle: object = ASKED, *, grace: object = 360, config: dict[str, Any] = DOOR) -> list[Resource]:
    """A StatefulSet that runs the door, and its configuration."""
    server = workload(
        ["/otelcol", "--config=/etc/otelcol/config.yaml"],
        mounts={"/etc/otelcol": {"configMap": {"name": "files"}}},
        claims={"/queue": ("queue", "1Gi")},
    )
    props = server.props
    if lifecycle is not GONE:
        props = broken(props, (*POD, "containers", 0, "lifecycle"), lifecycle)
    if grace is not GONE:
        props = broken(props, (*POD, "terminationGracePeriodSeconds"), grace)
    return [Resource(server.type, server.name, props), config_map({"config.yaml": config})]


def test_a_door_that_is_asked_and_has_the_time_passes() -> None:
    assert said(RULE, door()) == []
    assert said(RULE, door(config=broken(DOOR, ("extensions", "drain", "limit"), GONE))) == []


def test_a_collector_without_a_queue_on_disk_is_not_meant() -> None:
    dry = broken(DOOR, ("exporters", "kafkabuckets/metrics", "spill"), GONE)
    assert said(RULE, door(GONE, grace=GONE, config=dry)) == []


@pytest.mark.parametrize(
    "lifecycle",
    [
        GONE,
        {"preStop": {"sleep": {"seconds": 5}}},
        {"preStop": {"httpGet": {"path": "/", "port": 13133, "scheme": "HTTPS"}}},
        {"preStop": {"httpGet": {"path": "/", "port": 13134}}},
    ],
)
def test_a_door_that_ends_without_the_question_is_told(lifecycle: object) -> None:
    [line] = said(RULE, door(lifecycle))
    assert line.startswith(
        "StatefulSet ns/server, spec.template.spec.containers[0].lifecycle.preStop.httpGet: "
        "it ends without a look at its queue on disk"
    )
    assert line.endswith(" | let preStop ask port 13134 over HTTPS")


@pytest.mark.parametrize(("grace", "state"), [(300, "is 300"), (GONE, "is not set, which is 30")])
def test_a_door_that_is_killed_while_it_drains_is_told(grace: object, state: str) -> None:
    assert said(RULE, door(grace=grace)) == [
        "StatefulSet ns/server, spec.template.spec.terminationGracePeriodSeconds: it is killed while its queue on disk "
        f"drains, which may take 300 s: terminationGracePeriodSeconds {state} | give more than 300 s, or lower limit "
        "of drain"
    ]


def test_an_extension_that_does_not_run_answers_nothing() -> None:
    asleep = broken(DOOR, ("service", "extensions"), ["login", "file_storage/queue"])
    assert said(RULE, door(config=asleep)) == [
        "ConfigMap ns/files, config.yaml: service.extensions: nobody can ask whether its queue on disk is empty: "
        "no extension drain runs | define it and list it in service.extensions"
    ]


def test_the_rule_knows_the_extension_by_the_gateways_name() -> None:
    assert _dataplane.DRAIN == DRAIN
    assert DRAIN_LIMIT_S < 360
