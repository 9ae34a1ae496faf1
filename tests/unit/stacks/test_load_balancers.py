"""Annotations and class of every external endpoint's load balancer, for all of them and for one alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import engine
from tests.support.engine import Recording

INTERNAL = "service.beta.kubernetes.io/aws-load-balancer-internal"
KIND = "service.beta.kubernetes.io/aws-load-balancer-type"
"""Without it clients' addresses are hidden."""
_CHECKS = "service.beta.kubernetes.io/aws-load-balancer-healthcheck"
SOON = {f"{_CHECKS}-interval": "10", f"{_CHECKS}-healthy-threshold": "2", f"{_CHECKS}-unhealthy-threshold": "2"}
"""How soon a node whose pod has ended gets no new connections."""
DNS_NAME = "external-dns.alpha.kubernetes.io/hostname"


def balancers(recording: Recording) -> dict[str, dict[str, Any]]:
    """Name of a Service -> its manifest."""
    services = recording.kinds("Service")
    return {service["metadata"]["name"]: service for service in services if service["spec"]["type"] == "LoadBalancer"}


@pytest.mark.parametrize("stack", ["prod", "dr"])
def test_every_load_balancer_of_production_is_internal(stack: str) -> None:
    services = balancers(engine.recorded(stack))
    assert {"alertmanager", "gateway", "grafana", "jaeger-query-public", "kafka-external-2", "thanos-query"} <= set(
        services
    )
    for name, service in services.items():
        assert service["metadata"]["annotations"] == {KIND: "nlb", INTERNAL: "true", **SOON}, name
        assert "loadBalancerClass" not in service["spec"], name


def _endpoints(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Service -> its external endpoint in a stack file."""
    return {
        "gateway": settings["gateway"],
        "thanos-query": settings["query"],
        "alertmanager": settings["alerting"]["external_endpoint"],
        "grafana": settings["grafana"]["external_endpoint"],
        **{f"kafka-external-{index}": broker for index, broker in enumerate(settings["kafka"]["brokers"])},
        **{f"{name}-login": page for name, page in settings["sign_in"].items()},
        **{f"jaeger-query-{clearance}": query for clearance, query in settings["traces"]["queries"].items()},
    }


def test_each_endpoint_has_its_own_annotations_and_class_over_those_of_all() -> None:
    settings = engine.stack_settings("local")
    settings["load_balancers"] = {
        "annotations": {INTERNAL: "true", "example.com/owner": "observability"},
        "load_balancer_class": "service.k8s.aws/nlb",
    }
    endpoints = _endpoints(settings)
    for name, endpoint in endpoints.items():
        endpoint["annotations"] = {DNS_NAME: f"{name}.example.com", "example.com/owner": name}
    endpoints["gateway"]["load_balancer_class"] = "example.com/edge"
    recording = engine.record("local", settings)
    services = balancers(recording)
    assert set(services) == set(endpoints)
    for name, service in services.items():
        assert service["metadata"]["annotations"] == {
            INTERNAL: "true",
            "example.com/owner": name,
            DNS_NAME: f"{name}.example.com",
        }
        assert service["spec"]["loadBalancerSourceRanges"], name
    classes = {name: service["spec"]["loadBalancerClass"] for name, service in services.items()}
    assert classes == {**dict.fromkeys(services, "service.k8s.aws/nlb"), "gateway": "example.com/edge"}
