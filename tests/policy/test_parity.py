"""Both regions alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from policy.rules.parity import ONE_SIDED, differences, fingerprint
from tests.policy.fixtures_servers import config_map, rule, rules_of, said
from tests.support.engine import recorded


def topic(name: str, partitions: object = 12, **config: str) -> Resource:
    """A topic."""
    props = {
        "name": name,
        "partitions": partitions,
        "replicationFactor": 3,
        "config": {"retention.ms": "1000", **config},
    }
    return Resource("kafka:index/topic:Topic", name, props)


def acl(operation: str = "Read", **more: str) -> Resource:
    """An ACL."""
    props = {
        "aclPrincipal": "User:app",
        "aclPermissionType": "Allow",
        "aclOperation": operation,
        "aclResourceType": "Topic",
        "aclResourceName": "metrics",
        "aclHost": "*",
        "resourcePatternTypeFilter": "Literal",
        **more,
    }
    return Resource("kafka:index/acl:Acl", f"acl-{operation}", props)


def alerts(name: str = "first", expression: str = "up == 0") -> Resource:
    """A file of rules."""
    group = {"name": "targets", "rules": [{"alert": "Down", "expr": expression}, {"record": "ups", "expr": "sum(up)"}]}
    return config_map(name, **{"rules.yml": {"groups": [group]}})


def dashboard(title: str = "Overview", version: int = 1) -> Resource:
    """A dashboard in a file."""
    return config_map(
        "dashboards", **{"b.json": json.dumps({"uid": "over", "title": title, "version": version, "panels": []})}
    )


HERE = [topic("metrics"), acl(), alerts(), dashboard()]


def told(other: list[Resource], **options: Any) -> list[str]:
    """What the rule says when the other stack has these resources."""
    return said(rule("region-parity"), HERE, other=fingerprint(other), **options)


ALIKE = "Fix: change both stacks alike, or name it in the option ignore."
DIFFERENCES: list[tuple[list[Resource], list[str]]] = [
    (
        [topic("metrics", 6, **{"cleanup.policy": "compact"}), *HERE[1:]],
        [
            "stack, topics: topic metrics differs: cleanup.policy not set here and compact there, partitions 12 here "
            "and "
            f"6 there. {ALIKE}"
        ],
    ),
    (
        [topic("metrics", **{"retention.ms": "2000"}), *HERE[1:]],
        [f"stack, topics: topic metrics differs: retention.ms 1000 here and 2000 there. {ALIKE}"],
    ),
    (
        [*HERE, topic("logs")],
        [f"stack, topics: topic logs of the other stack is missing here. {ALIKE}"],
    ),
    (HERE[1:], [f"stack, topics: topic metrics is missing in the other stack. {ALIKE}"]),
    (
        [HERE[0], acl("Write"), *HERE[2:]],
        [
            f"stack, acls: ACL User:app Allow Read Topic metrics is missing in the other stack. {ALIKE}",
            f"stack, acls: ACL User:app Allow Write Topic metrics of the other stack is missing here. {ALIKE}",
        ],
    ),
    (
        [HERE[0], acl(aclHost="10.0.0.1", resourcePatternTypeFilter="Prefixed"), *HERE[2:]],
        [
            f"stack, acls: ACL User:app Allow Read Topic metrics is missing in the other stack. {ALIKE}",
            "stack, acls: ACL User:app Allow Read Topic metrics prefixed from 10.0.0.1 of the other stack is missing "
            f"here. {ALIKE}",
        ],
    ),
    (
        [*HERE[:2], alerts(expression="up < 1"), HERE[3]],
        [f"stack, rules: rule targets: Down differs in its content. {ALIKE}"],
    ),
    ([*HERE[:3], dashboard("Other")], [f"stack, dashboards: dashboard over differs in its content. {ALIKE}"]),
    (HERE[:3], [f"stack, dashboards: dashboard over is missing in the other stack. {ALIKE}"]),
]


@pytest.mark.parametrize(("other", "messages"), DIFFERENCES)
def test_every_difference_is_named(other: list[Resource], messages: list[str]) -> None:
    assert told(other) == messages


def test_the_same_in_other_files_and_versions_is_no_difference() -> None:
    assert told([dashboard(version=7), alerts("elsewhere"), acl(), topic("metrics")]) == []


def test_a_dashboard_of_the_provider_is_the_same_as_one_in_a_file() -> None:
    content = json.dumps({"panels": [], "title": "Overview", "uid": "over", "id": 9})
    provided = Resource("grafana:oss/dashboard:Dashboard", "over", {"configJson": content})
    assert told([*HERE[:3], provided]) == []


def test_differences_that_were_agreed_on_are_left_out() -> None:
    assert told([*HERE, acl("Write"), topic("own")], ignore=["ACL User:app Allow Write *", "topic own"]) == []


def test_without_another_stack_nothing_is_compared() -> None:
    assert said(rule("region-parity"), HERE) == []


def test_the_other_stack_can_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps(fingerprint(HERE[1:])))
    assert said(rule("region-parity"), HERE, other=str(file)) == [
        f"stack, topics: topic metrics is missing in the other stack. {ALIKE}"
    ]


def test_a_file_that_is_not_there_is_a_violation() -> None:
    assert said(rule("region-parity"), HERE, other="/nowhere.json") == [
        "stack, other: the other stack's fingerprint /nowhere.json cannot be read: [Errno 2] No such file or "
        "directory: "
        "'/nowhere.json'. Fix: write it with policy.rules.parity.fingerprint from the other stack's resources."
    ]


def test_what_is_not_known_yet_is_not_taken_for_the_same() -> None:
    with pytest.raises(UnknownValueError, match="partitions"):
        fingerprint([topic("metrics", UNKNOWN)])


def test_the_recorded_regions_are_alike() -> None:
    prod, dr = (
        fingerprint(
            [Resource(resource.token, resource.name, resource.inputs) for resource in recorded(stack).resources]
        )
        for stack in ("prod", "dr")
    )
    assert list(differences(prod, dr, ONE_SIDED)) == []
    assert len(prod["topics"]) >= 5
    assert len(prod["acls"]) > 5
    assert len(prod["rules"]) > 20


def test_rule_groups_of_one_stack_agree() -> None:
    assert said(rule("rules-agree"), [alerts(), alerts("second")]) == []
    assert said(rule("rules-agree"), [alerts(), alerts("second", "up < 1")]) == [
        "ConfigMap mon/second, rules.yml:.groups[0]: rule group targets differs from the one in ConfigMap mon/first. "
        "Fix: give every Prometheus the same rules."
    ]


def test_every_rule_about_regions_is_broken_here() -> None:
    assert {known_rule.id for known_rule in rules_of("parity")} == {"region-parity", "rules-agree"}
