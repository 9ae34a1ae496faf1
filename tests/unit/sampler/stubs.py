"""Stubs for a single component: the endpoints that it uses as plain values."""

from __future__ import annotations

from collections.abc import Callable

import pulumi

from components.contracts import Credential, KafkaEndpoint, SearchEndpoint, TracesEndpoint
from components.k8s import DeploymentContext
from tests.support import deployment_context as contexts
from tests.support.engine import Recording, run


def deployment_context() -> DeploymentContext:
    """Where the components of the platform's namespace are made."""
    return contexts.deployment_context(platform="obs", region="one", namespace="obs", storage_class="standard")


def user(name: str) -> Credential:
    """A user with a password that names it."""
    secret = pulumi.Output.secret(f"password-of-{name}")
    return Credential(username=name, password=secret, bcrypt=secret)


def kafka(name: str) -> KafkaEndpoint:
    """Kafka with one user."""
    return KafkaEndpoint(
        bootstrap="kafka.obs.svc.cluster.local:9092",
        port=9092,
        external=(),
        access_label="obs.access/kafka",
        users={name: user(name)},
    )


def traces() -> TracesEndpoint:
    """Jaeger's collectors."""
    return TracesEndpoint(
        grpc="jaeger-collector.obs.svc.cluster.local:4317",
        server_name="jaeger-collector.obs.svc.cluster.local",
        port=4317,
        workload="jaeger-collector",
        access_label="obs.access/traces",
        sampling_url="https://jaeger-collector.obs.svc.cluster.local:5778",
        sampling_user=user("sampling"),
    )


def search(name: str, username: str) -> SearchEndpoint:
    """The search cluster with one user."""
    return SearchEndpoint(
        url="https://search.obs.svc.cluster.local:9200",
        port=9200,
        workload="search",
        server_name="search.obs.svc.cluster.local",
        access_label="obs.access/search",
        users={name: user(username)},
        ready=pulumi.Output.from_input(True),
        after=(),
    )


def record(program: Callable[[], None]) -> Recording:
    """Run a program on the recording engine."""
    recording = Recording()
    run(recording, "unit", program)
    return recording
