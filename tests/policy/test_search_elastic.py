"""Elasticsearch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_search import OPENSEARCH, build
from tests.policy.fixtures_servers import Data, all_said, broken, cases, rule, said

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
ELASTICS = cases("search_elastic")


def test_the_good_cluster_passes_every_rule() -> None:
    assert all_said(build(ELASTIC)) == []


@pytest.mark.parametrize(("rule_id", "path", "value", "message"), ELASTICS)
def test_a_broken_elasticsearch_is_noticed(rule_id: str, path: str, value: Any, message: str) -> None:
    assert said(rule(rule_id), build(broken(ELASTIC, path, value))) == [message]
