"""What Grafana is provisioned with: data sources, LDAP, resources of its provider."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_grafana import GOOD, build
from tests.policy.fixtures_servers import Data, broken, cases, rule, rules_of, said

LDAP = "ConfigMap mon/face, ldap.toml:.servers[0]"
SOURCES = cases("grafana_sources")
PROVIDED: list[tuple[str, Data, str]] = [
    (
        "oss/dataSource:DataSource",
        {"name": "x", "url": "http://query:9090", "jsonDataEncoded": "{}"},
        "url: Grafana asks http://query:9090 in clear text. Fix: give the data source an https address.",
    ),
    (
        "oss/dataSource:DataSource",
        {"name": "x", "url": "https://query:9090", "jsonDataEncoded": '{"tlsSkipVerify": true}'},
        "jsonDataEncoded:.tlsSkipVerify: the data source's certificate is not verified: tlsSkipVerify is true. "
        "Fix: remove it, and set tlsAuthWithCACert with secureJsonData.tlsCACert.",
    ),
    (
        "oss/dashboardPublic:DashboardPublic",
        {"name": "x", "isEnabled": True},
        "isEnabled: a dashboard is published without a login. Fix: remove the public dashboard.",
    ),
    (
        "alerting/ruleGroup:RuleGroup",
        {"name": "x"},
        "type: a RuleGroup makes Grafana alert beside Alertmanager. "
        "Fix: write the rule for Prometheus and the receiver for Alertmanager.",
    ),
    (
        "oss/folderPermission:FolderPermission",
        {"name": "x", "permissions": [{"role": "Viewer", "permission": "Edit"}]},
        "permissions[0].permission: every viewer gets Edit. Fix: give viewers View, and a team or editors the rest.",
    ),
]


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), SOURCES)
def test_broken_provisioning_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), build(broken(GOOD, path, value))) == [message]


@pytest.mark.parametrize(("kind", "props", "message"), PROVIDED)
def test_resources_of_the_provider_count_too(kind: str, props: Data, message: str) -> None:
    resource = Resource(f"grafana:{kind}", "x", props)
    assert said(rule("grafana-provider"), [resource]) == [f"{resource.label}, {message}"]


def test_good_resources_of_the_provider_pass() -> None:
    source = {"url": "https://query:9090", "jsonDataEncoded": '{"tlsAuth": true}'}
    entries = {"permissions": [{"role": "Viewer", "permission": "View"}, {"role": "Editor", "permission": "Edit"}]}
    good = [
        Resource("grafana:oss/dataSource:DataSource", "x", source),
        Resource("grafana:oss/folderPermission:FolderPermission", "x", entries),
        Resource("grafana:oss/folder:Folder", "x", {"title": "x"}),
    ]
    assert said(rule("grafana-provider"), good) == []


def test_every_rule_about_provisioning_is_broken_here() -> None:
    assert {case[0] for case in SOURCES} | {"grafana-provider"} == {
        known_rule.id for known_rule in rules_of("grafana_sources")
    }
