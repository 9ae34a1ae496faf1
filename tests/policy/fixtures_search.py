"""A search cluster as it should be, and messages about its settings."""

from __future__ import annotations

import json

from policy.model import Resource
from tests.policy.fixtures_servers import Data, config_map, workload

OS = "plugins.security."
OPENSEARCH: Data = {
    "replicas": 3,
    "image": "opensearchproject/opensearch:2.19.4",
    "args": [],
    "env": [{"name": "OPENSEARCH_JAVA_OPTS", "value": "-Xmx1g"}],
    "settings": {
        "cluster.name": "traces",
        "discovery": {"seed_hosts": ["search-0", "search-1", "search-2"]},
        f"{OS}ssl.http.enabled": True,
        f"{OS}ssl.http.pemcert_filepath": "tls/tls.crt",
        f"{OS}ssl.http.pemkey_filepath": "tls/tls.key",
        f"{OS}ssl.transport.pemcert_filepath": "tls/tls.crt",
        f"{OS}ssl.transport.pemkey_filepath": "tls/tls.key",
        f"{OS}ssl.transport.pemtrustedcas_filepath": "tls/ca.crt",
        f"{OS}ssl.transport.enforce_hostname_verification": True,
        f"{OS}authcz.admin_dn": ["CN=search-admin"],
        f"{OS}nodes_dn": ["CN=search-node"],
        f"{OS}audit.type": "log4j",
        f"{OS}audit.config.disabled_rest_categories": ["AUTHENTICATED"],
        f"{OS}audit.config.disabled_transport_categories": ["AUTHENTICATED"],
        f"{OS}audit.config.log_request_body": False,
    },
    "security": {"_meta": {"type": "config"}, "config": {"dynamic": {"http": {"anonymous_auth_enabled": False}}}},
    "template": {"index_patterns": ["logs-*"], "template": {"settings": {"index": {"number_of_replicas": 1}}}},
}


def build(data: Data) -> list[Resource]:
    """The cluster with its files."""
    files = config_map("search", **{"search.yml": data["settings"]})
    others = config_map("search-more", **{"config.yml": data["security"], "logs.json": json.dumps(data["template"])})
    pods = workload(
        "StatefulSet",
        "search",
        data["image"],
        args=data["args"],
        env=data["env"],
        files={"/usr/share/search/config": files},
        replicas=data["replicas"],
    )
    return [files, others, pods]


FILE = "ConfigMap mon/search, search.yml:"


def wrong(problem: str, key: str, value: str, wanted: str) -> str:
    """Message about a setting in the file."""
    return f"{FILE} {key}: {problem}: {key} is {value}. Fix: set {key} to {wanted}."


SECURITY = "search-security"
