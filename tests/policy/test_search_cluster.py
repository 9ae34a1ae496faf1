"""OpenSearch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_search import FILE, OPENSEARCH, OS, POD, SECURITY, absent, build, wrong
from tests.policy.fixtures_servers import GONE, all_said, broken, rule, rules_of, said

OPENSEARCHES: list[tuple[str, str, Any, str]] = [
    (SECURITY, f"settings/{OS}disabled", True, wrong("the security plugin is off", f"{OS}disabled", "true", "false")),
    (
        SECURITY,
        "env/+",
        {"name": "DISABLE_SECURITY_PLUGIN", "value": "true"},
        f"{POD}.env[1]: the security plugin is off: DISABLE_SECURITY_PLUGIN is true. "
        "Fix: set DISABLE_SECURITY_PLUGIN to false.",
    ),
    (
        SECURITY,
        "args/+",
        f"-E{OS}disabled=true",
        f"{POD}.args[0]: the security plugin is off: {OS}disabled is true. Fix: set {OS}disabled to false.",
    ),
    (
        SECURITY,
        f"settings/{OS}ssl_only",
        True,
        wrong("the cluster asks nobody for a login", f"{OS}ssl_only", "true", "false"),
    ),
    (
        SECURITY,
        f"settings/{OS}ssl.http.enabled",
        GONE,
        absent("clients talk to the cluster in clear text", f"{OS}ssl.http.enabled", "true"),
    ),
    (
        SECURITY,
        f"settings/{OS}ssl.http.enabled",
        False,
        wrong("clients talk to the cluster in clear text", f"{OS}ssl.http.enabled", "false", "true"),
    ),
    (
        SECURITY,
        f"settings/{OS}ssl.http.pemcert_filepath",
        GONE,
        absent("HTTP has no certificate", f"{OS}ssl.http.pemcert_filepath"),
    ),
    (
        SECURITY,
        f"settings/{OS}ssl.http.pemkey_filepath",
        GONE,
        absent("HTTP has no key", f"{OS}ssl.http.pemkey_filepath"),
    ),
    (
        SECURITY,
        f"settings/{OS}ssl.transport.enabled",
        False,
        wrong("nodes talk to each other in clear text", f"{OS}ssl.transport.enabled", "false", "true"),
    ),
    (
        SECURITY,
        f"settings/{OS}ssl.transport.pemcert_filepath",
        GONE,
        absent("nodes have no certificate", f"{OS}ssl.transport.pemcert_filepath"),
    ),
    (
        SECURITY,
        f"settings/{OS}ssl.transport.pemkey_filepath",
        GONE,
        absent("nodes have no key", f"{OS}ssl.transport.pemkey_filepath"),
    ),
    (
        SECURITY,
        f"settings/{OS}ssl.transport.pemtrustedcas_filepath",
        GONE,
        absent(
            "nodes have no authority to check each other's certificate with",
            f"{OS}ssl.transport.pemtrustedcas_filepath",
        ),
    ),
    (
        SECURITY,
        f"settings/{OS}ssl.transport.enforce_hostname_verification",
        False,
        wrong(
            "nodes do not check each other's host name",
            f"{OS}ssl.transport.enforce_hostname_verification",
            "false",
            "true",
        ),
    ),
    (
        SECURITY,
        f"settings/{OS}allow_unsafe_democertificates",
        True,
        wrong("published demonstration certificates are taken", f"{OS}allow_unsafe_democertificates", "true", "false"),
    ),
    (
        SECURITY,
        f"settings/{OS}authcz.admin_dn",
        GONE,
        absent("no certificate is named that administers security", f"{OS}authcz.admin_dn"),
    ),
    (
        SECURITY,
        f"settings/{OS}nodes_dn",
        GONE,
        absent("no certificates are named that nodes must have", f"{OS}nodes_dn"),
    ),
    (
        "search-own-certificates",
        f"settings/{OS}authcz.admin_dn",
        ["CN=kirk,OU=client"],
        f"{FILE} {OS}authcz.admin_dn: CN=kirk,OU=client is of the published demonstration certificates. "
        "Fix: use certificates of the platform's CA.",
    ),
    (
        "search-own-certificates",
        f"settings/{OS}ssl.http.pemcert_filepath",
        "esnode.pem",
        f"{FILE} {OS}ssl.http.pemcert_filepath: esnode.pem is of the published demonstration certificates. "
        "Fix: use certificates of the platform's CA.",
    ),
    (
        "search-own-certificates",
        f"settings/{OS}nodes_dn",
        ["*"],
        f"{FILE} {OS}nodes_dn: every certificate of the CA may join as a node: nodes_dn is *. "
        "Fix: name the nodes' own certificates.",
    ),
    (
        "search-anonymous",
        "security/config/dynamic/http/anonymous_auth_enabled",
        True,
        "ConfigMap mon/search-more, config.yml:.config.dynamic.http.anonymous_auth_enabled: requests without a login "
        "are "
        "taken: anonymous_auth_enabled is true. Fix: set anonymous_auth_enabled to false.",
    ),
    (
        "search-nodes",
        "replicas",
        2,
        "StatefulSet mon/search, spec.replicas: the search cluster has 2 nodes, not 3. "
        "Fix: run 3 nodes, so that it elects and answers while one is down.",
    ),
    (
        "search-nodes",
        "settings/discovery/type",
        "single-node",
        f"{FILE} discovery.type: the node joins no cluster: discovery.type is single-node. Fix: remove it.",
    ),
    (
        "search-copies",
        "template/template/settings/index/number_of_replicas",
        "0",
        "ConfigMap mon/search-more, logs.json:.template.settings.index.number_of_replicas: an index has 0 copies "
        "beside "
        "the first one, less than 1. Fix: set number_of_replicas to 1 or more.",
    ),
]


def test_the_good_cluster_passes_every_rule() -> None:
    assert all_said(build(OPENSEARCH)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), OPENSEARCHES)
def test_a_broken_opensearch_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), build(broken(OPENSEARCH, path, value))) == [message]


def test_nested_settings_mean_the_same() -> None:
    nested = broken(OPENSEARCH, "settings/plugins", {"security": {"disabled": True}})
    flat = broken(OPENSEARCH, f"settings/{OS}disabled", True)
    assert said(rule(SECURITY), build(nested)) == said(rule(SECURITY), build(flat)) != []


def test_an_image_of_another_name_is_known_by_its_settings() -> None:
    data = broken(broken(OPENSEARCH, "image", "example/finder:1"), f"settings/{OS}disabled", True)
    assert said(rule(SECURITY), build(data)) == [wrong("the security plugin is off", f"{OS}disabled", "true", "false")]


def test_every_rule_about_search_is_broken_here() -> None:
    assert {case[0] for case in OPENSEARCHES} == {known_rule.id for known_rule in rules_of("search_cluster")}
