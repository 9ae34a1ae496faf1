"""Telemetry, alerts and questions about them stay inside: clients name servers of the stack, and leave none out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from policy.documents import Document, Format, documents, files
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules import _formats
from policy.rules._collector import URLS, Collector
from policy.rules._kafka import services
from policy.rules._kubernetes import of_kind, served, workloads
from policy.rules._values import Unknowns, finding, host_of, loopback
from policy.rules.probes import probing

_FORMATS: Final = (
    Format.COLLECTOR,
    Format.JAEGER,
    Format.PROMETHEUS,
    Format.DATASOURCES,
    Format.THANOS_CLIENT,
    Format.KAFKA_SERVER,
    Format.SEARCH,
)
_FILES: Final = frozenset({"ConfigMap", "Secret"})
_PREFIX: Final = re.compile(r"dns(srv(noa)?)?\+|_[a-z0-9-]+\._tcp\.")
_EXTERNAL: Final = "EXTERNAL"
"""The listener for the other region, whose names a stack file gives."""
_SCRAPED: Final = "obs.access/metrics"
_NOTIFIED: Final = ("alertmanager", "alert-events")
"""Workloads to which every Prometheus with alerts sends them."""
_WHITELIST: Final = "data_source_proxy_whitelist"
_TWICE: Final = 2
"""So many Prometheus, of a pair, read each target."""


def _inside(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    names = {(resource.object_name, resource.namespace) for resource in of_kind(resources, "Service")}
    unknown = Unknowns()
    for resource in resources if names else ():
        if resource.kind not in _FILES:
            continue
        for document in unknown.known(documents(resource, *_FORMATS)):
            for node, address in _addresses(document):
                if not _is_inside(address, names):
                    yield _elsewhere(resource, node, address)
        for service in unknown.known(services(resource)):
            bootstrap = service.bootstrap
            for address in bootstrap.texts() or bootstrap.text().split(","):
                if not _is_inside(address, names):
                    yield _elsewhere(resource, bootstrap, address)
    unknown.tell()


def _elsewhere(resource: Resource, node: Node, address: str) -> Finding:
    return finding(resource, node, f"{address} is no server of the stack", "name one by its Service")


def _is_inside(address: str, names: set[tuple[str, str]]) -> bool:
    text = _PREFIX.sub("", address.strip())
    return loopback(text) or service_of(text) in names


def service_of(address: str) -> tuple[str, str] | None:
    """Name and namespace of the Service whose name an address is, or the name of a pod behind it."""
    labels = host_of(address).split(".")
    at = labels.index("svc") if "svc" in labels else 0
    return (labels[at - 2], labels[at - 1]) if at >= 2 else None


def _addresses(document: Document) -> Iterator[tuple[Node, str]]:
    node = document.node
    match document.format:
        case Format.COLLECTOR | Format.JAEGER:
            yield from _of_collector(Collector(document))
        case Format.PROMETHEUS:
            for client in (*node["scrape_configs"].elements(), *node["alerting"]["alertmanagers"].elements()):
                for discovery in client["dns_sd_configs"].elements():
                    yield from ((name, name.text()) for name in discovery["names"].elements())
                for step in client["relabel_configs"].elements():
                    if step["target_label"].text() == "__address__":
                        yield step, step["replacement"].text()
        case Format.DATASOURCES:
            yield from ((source["url"], source["url"].text()) for source in node["datasources"].elements())
        case Format.THANOS_CLIENT:
            for endpoint in node["endpoints"].elements():
                yield endpoint["address"], endpoint["address"].text()
        case Format.SEARCH:
            yield from ((host, host.text()) for host in node["discovery.seed_hosts"].elements())
        case _:
            quorum = node["controller.quorum.bootstrap.servers"]
            yield from ((quorum, address) for address in quorum.text().split(",") if address)
            advertised = node["advertised.listeners"]
            for listener in advertised.text().split(","):
                name, _, address = listener.partition("://")
                if address and name.strip() != _EXTERNAL:
                    yield advertised, address


def _of_collector(collector: Collector) -> Iterator[tuple[Node, str]]:
    for section in ("receivers", "exporters"):
        for component in collector.components(section):
            yield from ((broker, broker.text()) for broker in component.node["brokers"].elements())
    for exporter in collector.sending():
        addresses = [exporter.node[key] for key in URLS if exporter.node[key].text()]
        yield from ((address, address.text()) for address in addresses)
    for _, backend in collector.node["extensions"]["jaeger_storage"]["backends"].items():
        for _, store in backend.items():
            yield from ((url, url.text()) for url in store["server_urls"].elements())


def _scraped(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    files = [document for item in resources for document in unknown.known(documents(item, Format.PROMETHEUS))]
    unknown.tell()
    jobs = [{_service(name) for name in _named_by(document.node["scrape_configs"])} for document in files]
    names = _services_of(resources)
    for policy in of_kind(resources, "NetworkPolicy") if files else ():
        if not _lets_read(policy):
            continue
        needed = names.get(policy.object_name, set())
        readers = sum(bool(needed & job) for job in jobs)
        if needed and readers < min(_TWICE, len(files)):
            problem = f"{readers} of {len(files)} Prometheus read the metrics of {policy.object_name}"
            yield finding(files[0].resource, "scrape_configs", problem, "add a job for it to both of the pair")


def _lets_read(policy: Resource) -> bool:
    peers = (peer for rule in policy.node.at("spec.ingress").elements() for peer in rule["from"].elements())
    return any(peer["podSelector"]["matchLabels"][_SCRAPED].text() == "true" for peer in peers)


def _services_of(resources: Sequence[Resource]) -> Mapping[str, set[str]]:
    """Workload -> names of its Services."""
    names: dict[str, set[str]] = {}
    for service in of_kind(resources, "Service"):
        for workload in served(service, resources):
            names.setdefault(workload.object_name, set()).add(service.object_name)
    return names


def _named_by(clients: Node) -> Iterator[str]:
    for client in clients.elements():
        if probing(client):
            continue
        for discovery in client["dns_sd_configs"].elements():
            yield from discovery["names"].texts()
        for group in client["static_configs"].elements():
            yield from group["targets"].texts()


def _service(address: str) -> str:
    text = _PREFIX.sub("", address)
    service = service_of(text)
    return service[0] if service else host_of(text).split(".")[0]


def _notified(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    there = {workload.object_name for workload in workloads(resources)} & {*_NOTIFIED}
    unknown = Unknowns()
    for resource in resources if there else ():
        for document in unknown.known(documents(resource, Format.PROMETHEUS)):
            alerting = document.node["alerting"]
            names = {_service(name) for name in _named_by(alerting["alertmanagers"])}
            shard = document.node["global"]["external_labels"]["prometheus_shard"].text()
            for workload in sorted(there) if shard in ("", "0") else ():
                if not names & {workload, f"{workload}-headless"}:
                    problem = f"{workload} is sent no alerts"
                    yield finding(resource, alerting["alertmanagers"], problem, f"add {workload} to alertmanagers")
    unknown.tell()


def _proxied(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    sources = {
        source["url"].text().partition("://")[2].partition("/")[0]
        for resource in resources
        for document in unknown.known(documents(resource, Format.DATASOURCES))
        for source in document.node["datasources"].elements()
    }
    for resource in resources:
        for name, text in unknown.known(files(resource)):
            if name.endswith(".ini"):
                listed = _formats.ini(text).get("security", {}).get(_WHITELIST, "").split()
                others = sorted({*listed} - sources)
                if others:
                    problem = f"whoever may query reaches {others[0]} from inside: no data source is there"
                    yield finding(resource, f"{name}: [security] {_WHITELIST}", problem, "name the data sources alone")
    unknown.tell()


RULES: tuple[Rule, ...] = (
    Rule(
        id="grafana-proxy-sources",
        promise="Grafana's proxy reaches its data sources and nothing else.",
        why="Whoever may edit a data source would reach any server inside the cluster through Grafana.",
        sources=("G5",),
        stack=_proxied,
    ),
    Rule(
        id="clients-stay-inside",
        promise="Collectors, Prometheus, Thanos, Grafana, search nodes and Kafka's clients name servers of the stack.",
        why="With a certificate that somebody else's server may well have, telemetry and passwords would go there.",
        sources=("O5", "K5"),
        stack=_inside,
    ),
    Rule(
        id="metrics-all-scraped",
        promise="What lets its metrics be scraped is scraped by both Prometheus of a pair.",
        why="Alerts about a server that nobody reads never fire.",
        sources=("P2", "P3"),
        stack=_scraped,
    ),
    Rule(
        id="alerts-all-sent",
        promise="Every Prometheus with alerts sends them to Alertmanager and to what writes them to Kafka.",
        why="An alert that only one of them gets notifies nobody, or is missing in reports.",
        sources=("P3", "A1"),
        stack=_notified,
    ),
)
"""Rules of this concern."""
