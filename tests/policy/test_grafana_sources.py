"""What Grafana is provisioned with: data sources, LDAP, resources of its provider."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_grafana import GOOD, INI, build
from tests.policy.fixtures_servers import GONE, Data, broken, rule, rules_of, said

SOURCE = "ConfigMap mon/face, ds.yaml:.datasources[0]"
LDAP = "ConfigMap mon/face, ldap.toml:.servers[0]"
FROM_FILE = "Fix: put the file into a Secret, or read the value with $__file{...}."
SOURCES: list[tuple[str, str, Any, str]] = [
    (
        "grafana-datasource-tls",
        "sources/datasources/0/url",
        "http://query:9090",
        f"{SOURCE}.url: Grafana asks http://query:9090 in clear text. Fix: give the data source an https address.",
    ),
    (
        "grafana-datasource-tls",
        "sources/datasources/0/jsonData/tlsSkipVerify",
        True,
        f"{SOURCE}.jsonData.tlsSkipVerify: the data source's certificate is not verified: tlsSkipVerify is true. "
        "Fix: remove it, and set tlsAuthWithCACert with secureJsonData.tlsCACert.",
    ),
    (
        "grafana-datasource-tls",
        "sources/datasources/0/access",
        "direct",
        f"{SOURCE}.access: browsers ask the data source themselves, past Grafana's permissions: access is direct. "
        "Fix: set access to proxy.",
    ),
    (
        "grafana-datasource-login",
        "sources/datasources/0/basicAuth",
        GONE,
        f"{SOURCE}: Grafana shows metrics no login. "
        "Fix: set basicAuth with basicAuthUser and secureJsonData.basicAuthPassword, or jsonData.tlsAuth.",
    ),
    (
        "grafana-datasource-secrets",
        "sources/datasources/0/secureJsonData/basicAuthPassword",
        "word",
        f"{SOURCE}.secureJsonData.basicAuthPassword: a data source's secret is written into a ConfigMap. {FROM_FILE}",
    ),
    (
        "grafana-datasource-secrets",
        "sources/datasources/0/basicAuthPassword",
        "word",
        f"{SOURCE}.basicAuthPassword: a data source's secret is written into a ConfigMap. {FROM_FILE}",
    ),
    (
        "grafana-ldap",
        "ldap/use_ssl",
        False,
        f"{LDAP}.use_ssl: passwords go to LDAP in clear text: use_ssl is false. Fix: set use_ssl to true.",
    ),
    (
        "grafana-ldap",
        "ldap/ssl_skip_verify",
        True,
        f"{LDAP}.ssl_skip_verify: LDAP's certificate is not verified: ssl_skip_verify is true. "
        "Fix: set ssl_skip_verify to false.",
    ),
    (
        "grafana-ldap",
        "ldap/root_ca_cert",
        GONE,
        f"{LDAP}.root_ca_cert: no authority is named that LDAP is verified by: root_ca_cert is not set. "
        "Fix: set root_ca_cert to the directory's CA.",
    ),
    (
        "grafana-ldap",
        "ldap/bind_password",
        "word",
        f"{LDAP}.bind_password: the password for LDAP is written into a ConfigMap. {FROM_FILE}",
    ),
    (
        "grafana-ldap-wired",
        "ini/auth.ldap/config_file",
        "/etc/other.toml",
        f"{INI} [auth.ldap] config_file: LDAP is on and its file /etc/other.toml is in no ConfigMap or Secret that is "
        "mounted there. Fix: mount the file at that path, or name the right one with [auth.ldap] config_file.",
    ),
]
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
