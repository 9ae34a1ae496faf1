"""NetworkPolicies: the default, one per workload, and what their rules allow."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_kubernetes import (
    GONE,
    LABELS,
    changed,
    deployment,
    platform,
    policy,
    query_policy,
    said,
    swapped,
    without,
)

ANYBODY = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]


@pytest.mark.parametrize(
    "resources",
    [
        without(platform(), "NetworkPolicy", "default-deny"),
        swapped(platform(), changed(policy("default-deny"), "spec/policyTypes", ["Ingress"])),
        swapped(platform(), changed(policy("default-deny"), "spec/policyTypes", ["Egress"])),
        swapped(platform(), changed(policy("default-deny"), "spec/ingress", [{}])),
        swapped(platform(), changed(policy("default-deny"), "spec/egress", [{}])),
        swapped(platform(), changed(policy("default-deny"), "spec/podSelector", {"matchLabels": LABELS})),
        swapped(platform(), changed(policy("default-deny"), "metadata/namespace", "other")),
    ],
)
def test_a_namespace_without_a_default_is_told(resources: list[Resource]) -> None:
    assert said("network-default-deny", resources) == [
        "Namespace obs, metadata.name: no NetworkPolicy refuses everything in namespace obs"
        " -> make one with an empty podSelector, both policyTypes and no rules"
    ]


def test_a_namespace_of_others_needs_a_default_as_well() -> None:
    assert said("network-default-deny", [deployment()]) == [
        "Deployment obs/query, metadata.namespace: no NetworkPolicy refuses everything in namespace obs"
        " -> make one with an empty podSelector, both policyTypes and no rules"
    ]
    assert said("network-default-deny", platform()) == []


@pytest.mark.parametrize(
    ("resources", "lacking"),
    [
        (without(platform(), "NetworkPolicy", "query"), "egress and ingress"),
        (swapped(platform(), changed(query_policy(), "spec/policyTypes", ["Ingress"])), "egress"),
        (swapped(platform(), changed(query_policy(), "spec/policyTypes", ["Egress"])), "ingress"),
        (swapped(platform(), changed(query_policy(), "spec/podSelector", {})), "egress and ingress"),
        (
            swapped(platform(), changed(query_policy(), "spec/podSelector/matchLabels", {"app": "other"})),
            "egress and ingress",
        ),
    ],
)
def test_a_workload_without_a_policy_of_its_own_is_told(resources: list[Resource], lacking: str) -> None:
    assert said("network-own-policy", resources) == [
        f"Deployment obs/query, spec.template.metadata.labels: no NetworkPolicy of its own is about the {lacking} of"
        " these pods -> make one that selects them, with both policyTypes and the connections that they need"
    ]
    assert said("network-own-policy", platform()) == []


@pytest.mark.parametrize(
    ("path", "value", "where", "problem", "fix"),
    [
        ("policyTypes", GONE, "policyTypes", "policyTypes is missing", 'set it to ["Ingress", "Egress"]'),
        ("policyTypes", ["Ingress"], "policyTypes", 'policyTypes is ["Ingress"]', 'set it to ["Ingress", "Egress"]'),
        ("policyTypes", ["Egress"], "policyTypes", 'policyTypes is ["Egress"]', 'set it to ["Ingress", "Egress"]'),
        ("ingress/0/from", GONE, "ingress[0].from", "from is empty: ingress is open to anybody", "name the peers"),
        ("ingress/0/from", [], "ingress[0].from", "from is empty: ingress is open to anybody", "name the peers"),
        (
            "ingress/0/from",
            ANYBODY,
            "ingress[0].from[0].ipBlock.cidr",
            'ingress is open to the network "0.0.0.0/0"',
            "name a smaller network",
        ),
        (
            "ingress/0/from/1/ipBlock/cidr",
            "::/0",
            "ingress[0].from[1].ipBlock.cidr",
            'ingress is open to the network "::/0"',
            "name a smaller network",
        ),
        (
            "ingress/0/from/1/ipBlock/cidr",
            "128.0.0.0/1",
            "ingress[0].from[1].ipBlock.cidr",
            'ingress is open to the network "128.0.0.0/1"',
            "name a smaller network",
        ),
        (
            "ingress/0/from/1/ipBlock/cidr",
            "anywhere",
            "ingress[0].from[1].ipBlock.cidr",
            'ingress is open to the network "anywhere"',
            "name a smaller network",
        ),
        (
            "ingress/0/from/0",
            {"namespaceSelector": {}},
            "ingress[0].from[0]",
            "ingress is open to every namespace",
            "give namespaceSelector the labels of one",
        ),
        (
            "ingress/0/from/0",
            {"podSelector": {}},
            "ingress[0].from[0]",
            "ingress is open to every pod of the namespace",
            "give podSelector the labels of one",
        ),
        ("ingress/0/ports", GONE, "ingress[0].ports", "ingress is open on every port", "name the ports"),
        (
            "ingress/0/ports/0/port",
            GONE,
            "ingress[0].ports[0].port",
            "ingress is open on every port of a protocol",
            "name the port",
        ),
        (
            "ingress/0/ports/0/endPort",
            65535,
            "ingress[0].ports[0].endPort",
            "ingress is open up to port 65535",
            "name each port",
        ),
        ("egress/0/to", GONE, "egress[0].to", "to is empty: egress is open to anywhere", "name the peers"),
        (
            "egress/0/to",
            ANYBODY,
            "egress[0].to[0].ipBlock.cidr",
            'egress is open to the network "0.0.0.0/0"',
            "name a smaller network",
        ),
        (
            "egress/0/to/0/namespaceSelector/matchLabels",
            {},
            "egress[0].to[0]",
            "egress is open to every namespace",
            "give namespaceSelector the labels of one",
        ),
        ("egress/0/ports", GONE, "egress[0].ports", "egress is open on every port", "name the ports"),
    ],
)
def test_a_rule_that_allows_too_much_is_told(path: str, value: Any, where: str, problem: str, fix: str) -> None:
    assert said("network-policy-rules", changed(query_policy(), f"spec/{path}", value)) == [
        f"NetworkPolicy obs/query, spec.{where}: {problem} -> {fix}"
    ]


def test_a_policy_about_every_pod_allows_nothing() -> None:
    assert said("network-policy-rules", changed(query_policy(), "spec/podSelector", {})) == [
        f"NetworkPolicy obs/query, spec.{direction}[0]: it allows {direction} for every pod of the namespace"
        " -> select one workload's pods"
        for direction in ("ingress", "egress")
    ]


def test_policies_that_name_peers_and_ports_pass() -> None:
    assert said("network-policy-rules", query_policy()) == []
    assert said("network-policy-rules", policy("default-deny")) == []


def test_a_wide_network_can_be_agreed() -> None:
    wide = changed(query_policy(), "spec/ingress/0/from/1/ipBlock/cidr", "0.0.0.0/0")
    assert said("network-policy-rules", wide, open_networks=["0.0.0.0/0"]) == []
    assert said("network-policy-rules", query_policy(), least_prefix_v4=24) == [
        'NetworkPolicy obs/query, spec.ingress[0].from[1].ipBlock.cidr: ingress is open to the network "10.20.0.0/16"'
        " -> name a smaller network"
    ]
