"""Elasticsearch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_search import FILE, OPENSEARCH, POD, SECURITY, absent, build, wrong
from tests.policy.fixtures_servers import GONE, Data, all_said, broken, rule, said

ES = "xpack.security."
ELASTIC: Data = {
    **OPENSEARCH,
    "image": "elasticsearch:8.19.0",
    "settings": {
        "cluster.name": "traces",
        "discovery.seed_hosts": ["search-0"],
        f"{ES}enabled": True,
        f"{ES}http.ssl.enabled": True,
        f"{ES}http.ssl.certificate": "tls/tls.crt",
        f"{ES}http.ssl.key": "tls/tls.key",
        f"{ES}transport.ssl.enabled": True,
        f"{ES}transport.ssl.certificate": "tls/tls.crt",
        f"{ES}transport.ssl.key": "tls/tls.key",
        f"{ES}transport.ssl.certificate_authorities": ["tls/ca.crt"],
        f"{ES}transport.ssl.verification_mode": "full",
    },
}
ELASTICS: list[tuple[str, str, Any, str]] = [
    (SECURITY, f"settings/{ES}enabled", False, wrong("security is off", f"{ES}enabled", "false", "true")),
    (
        SECURITY,
        "env/+",
        {"name": f"{ES}enabled", "value": "false"},
        f"{POD}.env[1]: security is off: {ES}enabled is false. Fix: set {ES}enabled to true.",
    ),
    (
        SECURITY,
        f"settings/{ES}http.ssl.enabled",
        GONE,
        absent("clients talk to the cluster in clear text", f"{ES}http.ssl.enabled", "true"),
    ),
    (
        SECURITY,
        f"settings/{ES}http.ssl.certificate",
        GONE,
        absent("HTTP has no certificate", f"{ES}http.ssl.certificate"),
    ),
    (SECURITY, f"settings/{ES}http.ssl.key", GONE, absent("HTTP has no key", f"{ES}http.ssl.key")),
    (
        SECURITY,
        f"settings/{ES}transport.ssl.enabled",
        GONE,
        absent("nodes talk to each other in clear text", f"{ES}transport.ssl.enabled", "true"),
    ),
    (
        SECURITY,
        f"settings/{ES}transport.ssl.certificate",
        GONE,
        absent("nodes have no certificate", f"{ES}transport.ssl.certificate"),
    ),
    (SECURITY, f"settings/{ES}transport.ssl.key", GONE, absent("nodes have no key", f"{ES}transport.ssl.key")),
    (
        SECURITY,
        f"settings/{ES}transport.ssl.certificate_authorities",
        GONE,
        absent(
            "nodes have no authority to check each other's certificate with",
            f"{ES}transport.ssl.certificate_authorities",
        ),
    ),
    (
        SECURITY,
        f"settings/{ES}transport.ssl.verification_mode",
        "certificate",
        wrong(
            "nodes do not check each other's host name", f"{ES}transport.ssl.verification_mode", "certificate", "full"
        ),
    ),
    (
        SECURITY,
        f"settings/{ES}transport.ssl.client_authentication",
        "optional",
        wrong(
            "nodes without a certificate are taken", f"{ES}transport.ssl.client_authentication", "optional", "required"
        ),
    ),
    (
        "search-own-certificates",
        f"settings/{ES}authc.anonymous.roles",
        "viewer",
        f"{FILE} {ES}authc.anonymous.roles: requests without a login are taken: {ES}authc.anonymous.roles is viewer. "
        f"Fix: remove {ES}authc.anonymous.roles.",
    ),
]


def test_the_good_cluster_passes_every_rule() -> None:
    assert all_said(build(ELASTIC)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), ELASTICS)
def test_a_broken_elasticsearch_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), build(broken(ELASTIC, path, value))) == [message]
