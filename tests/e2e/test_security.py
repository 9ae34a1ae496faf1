"""Who must be refused is refused, and no secret stands where it must not.

The tests of the rows K5 and P2 are not of the core: ``test_verify`` looks at the same rows there, and none may fail.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kubernetes import client

from ops.checks import security
from ops.checks.security import k5, p2
from ops.core.context import Context
from ops.core.kube import wait_until
from tests.e2e.test_pulumi import pulumi
from tests.support import exposure
from tests.support.pods import access_labels, open_egress, try_connecting
from tests.support.results import recorded

_PROBE = {"obs.e2e/probe": "true"}
_SERVERS = {
    "kafka": 9092,
    "gateway": 4318,
    "prometheus-primary": 9090,
    "prometheus-secondary": 9090,
    "thanos-query": 9090,
}
_PATIENCE_REFUSED, _PATIENCE_ADMITTED = 5.0, 20.0


@pytest.fixture
def probe_egress(context: Context) -> Iterator[None]:
    """Let the probe pods call anybody, so that a refusal is the server's own."""
    api: Any = client.NetworkingV1Api(context.kube.core.api_client)
    name = "e2e-probe"
    api.create_namespaced_network_policy(context.kube.namespace, open_egress(name, _PROBE), _request_timeout=15)
    yield
    api.delete_namespaced_network_policy(name, context.kube.namespace, _request_timeout=15)


def addresses(context: Context) -> dict[str, tuple[str, int]]:
    """Pod and Service addresses of the servers."""
    targets: dict[str, tuple[str, int]] = {}
    core, namespace = context.kube.core, context.kube.namespace
    for workload, port in _SERVERS.items():
        pod = core.read_namespaced_pod(context.kube.ready_pod(workload).name, namespace, _request_timeout=15)
        targets[f"{workload} pod"] = (pod.status.pod_ip, port)
    for service, port in (("kafka", 9092), ("thanos-query", 9090)):
        service_object = core.read_namespaced_service(service, namespace, _request_timeout=15)
        targets[f"{service} service"] = (service_object.spec.cluster_ip, port)
    return targets


@pytest.mark.timeout(600)
def test_network_policies_admit_only_labelled_pods(context: Context, probe_egress: None) -> None:
    kube, targets = context.kube, addresses(context)
    image = context.kube.ready_pod("kafka-lag").images[0]
    policies = client.NetworkingV1Api(kube.core.api_client).list_namespaced_network_policy(
        kube.namespace, _request_timeout=15
    )
    labels = access_labels(policies.items)
    assert labels, "no NetworkPolicy admits an access label"
    inside = {name: target for name, target in targets.items() if not name.startswith("gateway")}
    stamp = int(time.time())
    pods = {
        "friend": ({**_PROBE, **labels}, inside, _PATIENCE_ADMITTED),
        "stranger": (_PROBE, targets, _PATIENCE_REFUSED),
        "nobody": ({"obs.e2e/none": "true"}, targets, _PATIENCE_REFUSED),
    }
    with recorded("network-policies", kube) as figures, ThreadPoolExecutor(len(pods)) as pool:
        answers = [pool.submit(try_connecting, kube, f"e2e-{name}-{stamp}", image, *pod) for name, pod in pods.items()]
        friend, stranger, nobody = (answer.result() for answer in answers)
        figures["admitted with access labels"] = sum(answer == "open" for answer in friend.values())
        assert set(friend.values()) == {"open"}, f"the control pod is refused: {friend}"
        figures["targets"] = len(targets)
        figures["admitted without a label"] = sum(answer == "open" for answer in stranger.values())
        figures["admitted with no policy at all"] = sum(answer == "open" for answer in nobody.values())
        assert "open" not in stranger.values(), stranger
        assert "open" not in nobody.values(), nobody


@pytest.mark.timeout(300)
def test_kafka_refuses_every_client_that_it_must(context: Context) -> None:
    security.control(context.platform)
    with recorded("kafka-refusals", context.kube) as figures:
        reasons = security.refusals(context.platform)
        figures.update({name: reason.strip("_") or "LET IN" for name, reason in reasons.items()})
        assert all(reasons.values()), reasons


@pytest.mark.timeout(300)
def test_listeners_users_permissions_and_quotas_of_kafka_are_as_they_must_be(context: Context) -> None:
    assert k5(context).wrong == []


@pytest.mark.timeout(300)
def test_prometheus_and_thanos_refuse_every_login_that_they_must(context: Context) -> None:
    assert p2(context).wrong == []


@pytest.mark.timeout(300)
def test_no_secret_stands_in_state_configuration_logs_or_command_lines(context: Context) -> None:
    clear = pulumi("stack", "export", "--show-secrets")
    sealed = pulumi("stack", "export")
    assert (clear.returncode, sealed.returncode) == (0, 0), clear.stderr + sealed.stderr
    secrets = exposure.known_secrets(context.platform, json.loads(clear.stdout))
    places = [
        ("exported state", sealed.stdout),
        *exposure.config_maps(context.kube),
        *exposure.pod_specs(context.kube),
        *exposure.pod_logs(context.kube),
        *exposure.command_lines(),
    ]
    with recorded("secret-search", context.kube) as figures:
        figures["secrets"], figures["places"] = len(secrets), len(places)
        # The names only: a failing assertion prints what it compares.
        leaks = {place: names for place, text in places if (names := exposure.exposed(secrets, text))}
        figures["found"] = sum(map(len, leaks.values()))
        assert leaks == {}


def test_the_platform_is_ready_after_the_probes(context: Context) -> None:
    wait_until(lambda: all(pod.ready for pod in context.kube.pods() if pod.workload), 60, "all workloads ready")
