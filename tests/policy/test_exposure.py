"""What is reachable from outside, and the servers behind it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.fixtures_kubernetes import GONE, changed, ingress, k8s, said, service


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "type",
            "NodePort",
            'type: the type is "NodePort", open on every node to everybody -> use ClusterIP or LoadBalancer',
        ),
        (
            "type",
            "ExternalName",
            'type: the type is "ExternalName", an alias that no certificate of ours covers -> use ClusterIP',
        ),
        (
            "externalIPs",
            ["192.0.2.1"],
            'externalIPs: externalIPs is ["192.0.2.1"], which takes the traffic of those addresses -> remove it',
        ),
    ],
)
def test_ways_around_the_load_balancer_are_told(path: str, value: Any, message: str) -> None:
    assert said("service-kind", service()) == []
    assert said("service-kind", changed(service(), f"spec/{path}", value)) == [f"Service obs/query, spec.{message}"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "loadBalancerSourceRanges",
            GONE,
            "loadBalancerSourceRanges: loadBalancerSourceRanges is missing: everybody may connect -> name the networks",
        ),
        (
            "loadBalancerSourceRanges",
            [],
            "loadBalancerSourceRanges: loadBalancerSourceRanges is []: everybody may connect -> name the networks",
        ),
        (
            "loadBalancerSourceRanges",
            ["10.20.0.0/16", "0.0.0.0/0"],
            'loadBalancerSourceRanges[1]: the network "0.0.0.0/0" may connect -> name smaller networks',
        ),
        (
            "loadBalancerSourceRanges",
            ["::/0"],
            'loadBalancerSourceRanges[0]: the network "::/0" may connect -> name smaller networks',
        ),
        (
            "loadBalancerSourceRanges",
            ["0.0.0.0/1"],
            'loadBalancerSourceRanges[0]: the network "0.0.0.0/1" may connect -> name smaller networks',
        ),
        (
            "externalTrafficPolicy",
            GONE,
            "externalTrafficPolicy: externalTrafficPolicy is missing, which hides the clients' addresses"
            ' -> set it to "Local"',
        ),
        (
            "externalTrafficPolicy",
            "Cluster",
            'externalTrafficPolicy: externalTrafficPolicy is "Cluster", which hides the clients\' addresses'
            ' -> set it to "Local"',
        ),
    ],
)
def test_a_load_balancer_for_everybody_is_told(path: str, value: Any, message: str) -> None:
    assert said("service-source-ranges", service()) == []
    assert said("service-source-ranges", changed(service(), f"spec/{path}", value)) == [
        f"Service obs/query, spec.{message}"
    ]


def test_services_of_the_inside_need_no_ranges_and_wide_ones_can_be_agreed() -> None:
    inside = k8s("core/v1:Service", "a", spec={"type": "ClusterIP"})
    assert said("service-source-ranges", inside) == []
    open_to_all = changed(service(), "spec/loadBalancerSourceRanges", ["0.0.0.0/0"])
    assert said("service-source-ranges", open_to_all, open_networks=["0.0.0.0/0"]) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tls", GONE, "tls: tls is missing -> add it for every host, with a secretName"),
        ("tls", [], "tls: tls is [] -> add it for every host, with a secretName"),
        (
            "tls/0/hosts",
            ["other.example.com"],
            "rules[0].host: host query.example.com is not in tls, so it is served in clear text"
            " -> add it to tls with a secretName",
        ),
        (
            "tls/0/secretName",
            GONE,
            "rules[0].host: host query.example.com is not in tls, so it is served in clear text"
            " -> add it to tls with a secretName",
        ),
        (
            "rules/0/host",
            GONE,
            "rules[0].host: a rule for every host is not in tls, so it is served in clear text"
            " -> add it to tls with a secretName",
        ),
        (
            "defaultBackend",
            {"service": {}},
            "defaultBackend: requests for any host reach a server -> remove defaultBackend",
        ),
    ],
)
def test_an_ingress_in_clear_text_is_told(path: str, value: Any, message: str) -> None:
    assert said("ingress-tls", ingress()) == []
    assert said("ingress-tls", changed(ingress(), f"spec/{path}", value)) == [f"Ingress obs/query, spec.{message}"]
