"""OpenSearch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_search import OPENSEARCH, OS, SECURITY, build, wrong
from tests.policy.fixtures_servers import all_said, broken, cases, rule, rules_of, said

OPENSEARCHES = cases("search_cluster")


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
