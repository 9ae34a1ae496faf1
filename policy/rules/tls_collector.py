"""TLS of collectors: to Kafka, to destinations, from senders and from scrapers (requirements K5, O1, P2)."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._collector import DRAIN, URLS, Collector, Component, Serving, collectors
from policy.rules._values import client_tls, finding, flag, loopback, server_tls, shown

_FILES = frozenset({"ConfigMap", "Secret"})
_HEALTH = ("health_check", "healthcheckv2", DRAIN)
_CLEAR = ("pprof", "zpages", "expvar")
"""Extensions that know no TLS."""


def _kafka_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for component in collector.kafka():
            yield from client_tls(resource, component.node["tls"], what="Kafka")


def _receiver_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        yield from _servers(resource, collector.receiving())


def _metrics_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        yield from _servers(resource, collector.exposing())


def _servers(resource: Resource, serving: Iterator[Serving]) -> Iterator[Finding]:
    for server in serving:
        if not server.loopback:
            yield from server_tls(resource, server.node["tls"], what=server.what)


def _exporter_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for exporter in collector.sending():
            yield from _destination(resource, exporter)


def _destination(resource: Resource, exporter: Component) -> Iterator[Finding]:
    addresses = [exporter.node[key] for key in URLS if exporter.node[key].text()]
    addresses += list(exporter.node["endpoints"].elements())
    distant = [address for address in addresses if not loopback(address.text())]
    if addresses and not distant:
        return
    for address in distant:
        if address.text().startswith("http://"):
            yield finding(resource, address, f"{exporter} sends in clear text to {address.text()}", "use https://")
    if distant or exporter.node["tls"].exists:
        yield from client_tls(resource, exporter.node["tls"], what=f"the destination of {exporter}")


def _health_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for extension in collector.components("extensions", *_HEALTH):
            for node in (extension.node, extension.node["http"], extension.node["grpc"]):
                server = Serving(f"{extension}", node)
                if not server.loopback:
                    yield from server_tls(resource, node["tls"], what=server.what)
        for extension in collector.components("extensions", *_CLEAR):
            endpoint = extension.node["endpoint"]
            if endpoint.text() and not loopback(endpoint.text()):
                yield finding(
                    resource,
                    endpoint,
                    f"{extension} knows no TLS and listens on {endpoint.text()}",
                    "bind it to 127.0.0.1 or remove it",
                )


def _own_telemetry(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        telemetry = collector.node.at("service.telemetry")
        yield from _pulled(resource, collector)
        for node in telemetry.walk():
            endpoint = node["endpoint"]
            if not endpoint.exists or loopback(endpoint.text()):
                continue
            if endpoint.text().startswith("http://") or flag(node["insecure"]):
                problem = f"the collector sends its own telemetry in clear text to {endpoint.text()}"
                yield finding(resource, endpoint, problem, "use https:// or the loopback address")


def _pulled(resource: Resource, collector: Collector) -> Iterator[Finding]:
    metrics = collector.node.at("service.telemetry.metrics")
    hosts: list[Node] = [reader.at("pull.exporter.prometheus")["host"] for reader in metrics["readers"].elements()]
    for host in [*hosts, metrics["address"]]:
        if host.exists and not loopback(host.text()):
            yield finding(
                resource,
                host,
                f"the built-in metrics endpoint knows no TLS and {shown(host)}",
                "bind it to 127.0.0.1, or send the metrics to an exporter that serves them over TLS",
            )


RULES: tuple[Rule, ...] = (
    Rule(
        id="collector-kafka-tls",
        promise="Every collector reaches Kafka over verified TLS.",
        why="A collector that does not verify gives its password and all telemetry to whoever answers.",
        sources=("K5",),
        kinds=_FILES,
        resource=_kafka_tls,
    ),
    Rule(
        id="collector-receiver-tls",
        promise="Every receiver that the network reaches speaks TLS.",
        why="Senders' passwords and personal data would cross the network readably.",
        sources=("O1",),
        kinds=_FILES,
        resource=_receiver_tls,
    ),
    Rule(
        id="collector-metrics-tls",
        promise="Collectors serve metrics over TLS only.",
        why="The scraper's password would cross the network readably.",
        sources=("P2",),
        kinds=_FILES,
        resource=_metrics_tls,
    ),
    Rule(
        id="collector-exporter-tls",
        promise="Every exporter verifies its destination over TLS, unless it is in the same pod.",
        why="Telemetry and the exporter's password would go to whoever answers.",
        sources=("O5", "P2"),
        kinds=_FILES,
        resource=_exporter_tls,
    ),
    Rule(
        id="collector-health-tls",
        promise="A collector's health endpoint speaks TLS, and its debugging endpoints stay inside the pod.",
        why="They tell whoever asks what the collector does, and profiles hold what it has in memory.",
        sources=("O1",),
        kinds=_FILES,
        resource=_health_tls,
    ),
    Rule(
        id="collector-own-telemetry-tls",
        promise="A collector's own telemetry leaves its pod over TLS only.",
        why="Its counters name clients and destinations, and they are what shows lost telemetry.",
        sources=("P2",),
        kinds=_FILES,
        resource=_own_telemetry,
    ),
)
