"""Jaeger and the agents on the recording engine, without the rest of the platform."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pulumi

from components.agent import Agent, AgentArgs
from components.contracts import OidcEndpoint, SearchEndpoint
from components.jaeger.collector import JaegerCollector, JaegerCollectorArgs, traces_endpoint
from components.jaeger.config import Strategies
from components.jaeger.query import JaegerQuery, JaegerQueryArgs, query_workload
from components.k8s import Autoscale, LoadBalancerOptions, Resources, credential
from components.telemetry.attributes import CLASSES
from components.telemetry.layers import LAYERS, Signal
from tests.support import engine
from tests.support.deployment_context import deployment_context, metrics

CONTEXT = deployment_context()
SIZE = Resources(cpu="50m", memory="128Mi", memory_limit="256Mi")
GROUPS = {name: (f"traces-{name}",) for name in CLASSES}
ADDRESSES = {name: f"198.18.0.{30 + index}" for index, name in enumerate(CLASSES)}
CLIENTS = ["198.18.0.0/24"]


@dataclass
class Made:
    """The components, and what they registered."""

    recording: engine.Recording
    collector: JaegerCollector
    queries: dict[str, JaegerQuery]
    agent: Agent


@functools.cache
def default_build() -> Made:
    """Everything once; do not change it."""
    recording = engine.Recording()
    components: list[Made] = []

    def program() -> None:
        users = ["jaeger-collector", *(query_workload(name) for name in CLASSES)]
        stack = pulumi.ComponentResource("obs:test:Stack", "test")
        search = SearchEndpoint(
            url="https://search.ns.svc.cluster.local:9200",
            port=9200,
            workload="search",
            server_name="search.ns.svc.cluster.local",
            access_label="obs.access/search",
            users={name: credential(stack, name=f"search-{name}", username=name) for name in users},
            ready=pulumi.Output.from_input(True),
            after=(),
        )
        collector = JaegerCollector(
            "jaeger-collector",
            JaegerCollectorArgs(
                context=CONTEXT,
                endpoint=traces_endpoint(stack, CONTEXT),
                scrape=metrics(CONTEXT, "jaeger-collector", 8888),
                search=search,
                replicas=2,
                resources=SIZE,
                strategies=Strategies(services={"recorder": 0.5}),
                autoscale=Autoscale(minimum=2, maximum=6, cpu_percent=70),
            ),
        )
        oidc = OidcEndpoint(
            issuer="https://login.example.org:5556",
            port=5556,
            client_id="jaeger",
            client_secret=pulumi.Output.secret("password-of-jaeger"),
            networks=("203.0.113.0/24",),
            authority="-----BEGIN CERTIFICATE-----",
        )
        queries = {
            name: JaegerQuery(
                f"jaeger-query-{name}",
                JaegerQueryArgs(
                    context=CONTEXT,
                    scrape=metrics(CONTEXT, query_workload(name), 8888),
                    clearance=name,
                    search=search,
                    oidc=oidc,
                    groups=GROUPS,
                    replicas=2,
                    resources=SIZE,
                    proxy_resources=SIZE,
                    address=ADDRESSES[name],
                    client_cidrs=CLIENTS,
                    load_balancer=LoadBalancerOptions(),
                ),
            )
            for name in CLASSES
        }
        agent = Agent(
            "otel-agent",
            AgentArgs(
                context=CONTEXT,
                scrape=metrics(CONTEXT, "otel-agent", 8888),
                gateway="gateway",
                gateway_port=4317,
                login=credential(stack, name="gateway-agent", username="agent"),
                layers={layer.name: credential(stack, name=layer.name, username=layer.user) for layer in LAYERS},
                former={},
                request_limit=2 * 2**20,
                queue_bytes=16 * 2**20,
                peak=dict.fromkeys(Signal, 1000.0),
                resources=SIZE,
            ),
        )
        components.append(Made(recording, collector, queries, agent))

    engine.run(recording, "local", program)
    return components[0]
