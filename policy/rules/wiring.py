"""Who is connected to what: clients name servers of the stack, and leave none out.

Telemetry, alerts and questions about them stay inside; each part of the stack is backed up, followed, measured,
queried and probed, by what proves it there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from policy.documents import Document, Format, documents, files, ini
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._agreed import agreed
from policy.rules._dataplane import TOPIC, URLS, Collector, services
from policy.rules._kubernetes import of_kind, served, workloads
from policy.rules._servers import Container, all_containers
from policy.rules._values import FILES, Unknowns, finding, host_of, loopback
from policy.rules.backups import ARCHIVE, BACKUP_EXPORTER, JOB, Program, programs
from policy.rules.probes import probing
from policy.rules.rights import family

_FORMATS: Final = (
    Format.COLLECTOR,
    Format.JAEGER,
    Format.PROMETHEUS,
    Format.DATASOURCES,
    Format.THANOS_CLIENT,
    Format.KAFKA_SERVER,
    Format.SEARCH,
)
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
        if resource.kind not in FILES:
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
                listed = ini(text).get("security", {}).get(_WHITELIST, "").split()
                others = sorted({*listed} - sources)
                if others:
                    problem = f"whoever may query reaches {others[0]} from inside: no data source is there"
                    yield finding(resource, f"{name}: [security] {_WHITELIST}", problem, "name the data sources alone")
    unknown.tell()


_TELEMETRY: Final = "telemetry-*"
"""Topics whose readers may not fall behind."""
_STORES: Final = frozenset({"sidecar", "store", "rule"})
"""Parts of Thanos that answer questions of the query layer."""
_PLACE: Final = ("bucket", "endpoint", "prefix", "region")
_NUMBERED: Final = ("", "0")
"""Shard of the Prometheus that does what is done once."""


def _known(resources: Sequence[Resource], unknown: Unknowns, *formats: Format) -> list[Document]:
    return [document for one in resources for document in unknown.known(documents(one, *formats))]


def _queried(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    files = [
        document
        for document in _known(resources, unknown, Format.THANOS_CLIENT)
        if any(endpoint["address"].text() for endpoint in document.node["endpoints"].elements())
    ]
    services_there = {(one.object_name, one.namespace): one for one in of_kind(resources, "Service")}
    for document in files:
        queried: set[str] = set()
        for endpoint in document.node["endpoints"].elements():
            service = services_there.get(service_of(endpoint["address"].text().partition("+")[2]) or ("", ""))
            queried |= {workload.object_name for workload in served(service, resources)} if service else set()
        for workload in resources:
            if workload.object_name not in queried and any(map(_answers, all_containers(workload))):
                where, problem = document.node["endpoints"], f"nobody is shown what {workload.object_name} holds"
                yield finding(document.resource, where, problem, f"add an endpoint for {workload.object_name}")
    unknown.tell()


def _answers(container: Container) -> bool:
    return container.runs("thanos") and any(word.text in _STORES for word in container.words[:2])


def _probed(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    if not _known(resources, unknown, Format.PROBER):
        unknown.tell()
        return
    there = {(one.object_name, one.namespace) for one in of_kind(resources, "Service")}
    wanted: Mapping[str, Mapping[int, str]] = agreed()["probed"]
    for document in _known(resources, unknown, Format.PROMETHEUS):
        if document.node["global"]["external_labels"]["prometheus_shard"].text() not in _NUMBERED:
            continue
        probed = _looked(document.node)
        for name, namespace in sorted(there):
            for port, module in wanted.get(family(name), {}).items():
                if (name, namespace, port, module) not in probed:
                    problem = f"nobody looks at {name}:{port} as a stranger would"
                    fix = f"add it to the probed targets with the module {module}"
                    yield finding(document.resource, document.node["scrape_configs"], problem, fix)
    unknown.tell()


def _looked(node: Node) -> set[tuple[str, str, int, str]]:
    """Name and namespace of a Service, port and module of each probed address."""
    probed = set()
    for job in node["scrape_configs"].elements():
        for group in job["static_configs"].elements() if probing(job) else ():
            for target in group["targets"].texts():
                service = service_of(target)
                if service:
                    probed.add((*service, urlsplit(target).port or 443, group["labels"]["__param_module"].text()))
    return probed


def _followed(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    wanted: Mapping[str, str] = agreed()["followed"]
    for document in _known(resources, unknown, Format.OTHER):
        if not isinstance(document.node.value, Mapping) or "followed" not in document.node.value:
            continue
        listed = document.node["followed"]
        followed = {tuple(one[key].text() for key in ("workload", "container", "source")) for one in listed.elements()}
        for container in (container for workload in resources for container in all_containers(workload)):
            workload, name = container.resource.object_name, container.node["name"].text()
            for pattern, source in wanted.items():
                fits = fnmatchcase(f"{workload}/{name}/{container.image}", pattern)
                if fits and (workload, name, source) not in followed:
                    problem = f"who logged in at {workload} is not in the audit log"
                    yield finding(document.resource, listed, problem, f"follow its container {name}")
        namespace = document.node.at("kubernetes.namespace")
        if document.resource.namespace and namespace.text() != document.resource.namespace:
            problem = f"it follows pods of {namespace.text() or 'no namespace'}, which is not the platform's"
            yield finding(document.resource, namespace, problem, f"set it to {document.resource.namespace}")
    unknown.tell()


def _measured(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    topics = {one.object_name for one in resources if one.type == TOPIC}
    groups = set(_groups(resources, unknown))
    for document in _known(resources, unknown, Format.OTHER):
        content = document.node.value
        if not isinstance(content, Mapping) or not {"bootstrap", "groups", "topics"} <= content.keys():
            continue
        for key, there in (("groups", groups), ("topics", topics)):
            for name in sorted(there - {*document.node[key].texts()}):
                problem = f"nobody sees how far behind readers are: {name} is none of the {key}"
                yield finding(document.resource, document.node[key], problem, f"add {name}")
    unknown.tell()


def _groups(resources: Sequence[Resource], unknown: Unknowns) -> Iterator[str]:
    """Groups that read telemetry."""
    for document in _known(resources, unknown, Format.COLLECTOR, Format.JAEGER):
        for _, receiver in document.node["receivers"].items():
            if receiver["group_id"].text():
                yield receiver["group_id"].text()
    for resource in resources:
        for service in unknown.known(services(resource)):
            topics = [name for _, name in service.topics]
            if service.node["group"].text() and any(fnmatchcase(name, _TELEMETRY) for name in topics):
                yield service.node["group"].text()


def _backed_up(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    parsed, first_unknown = programs(resources, JOB, BACKUP_EXPORTER)
    families = {
        pattern
        for document in _known(resources, unknown, Format.OTHER)
        if isinstance(document.node.value, Mapping) and "families" in document.node.value
        for family in document.node["families"].elements()
        for pattern in family["template"]["index_patterns"].texts()
    }
    labels = [
        {key: node.text() for key, node in document.node["global"]["external_labels"].items()}
        for document in _known(resources, unknown, Format.PROMETHEUS)
    ]
    for program in parsed:
        if program.kind == "database" and not any(program.section["databases"].elements()):
            yield _less(program, program.section["databases"], "no database")
        if program.kind == "search":
            indices = program.section["indices"]
            for pattern in sorted(families - {*indices.texts()}):
                yield _less(program, indices, f"nothing of {pattern}")
        servers = program.settings["blocks"]["servers"]
        if program.module == BACKUP_EXPORTER and program.settings["blocks"].exists:
            watched = [{key: node.text() for key, node in server.items()} for _, server in servers.items()]
            for one in labels:
                if one not in watched:
                    problem = f"nobody is notified when the blocks of {' '.join(one.values())} are shipped no more"
                    yield finding(program.held, servers, problem, "add its external labels")
    unknown.tell()
    if first_unknown:
        raise first_unknown


def _less(program: Program, where: Node, what: str) -> Finding:
    return finding(program.held, where, f"the backup has {what}", "name everything that the stack keeps there")


def _same(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    parsed, unknown = programs(resources, JOB, ARCHIVE, BACKUP_EXPORTER)
    ordered = sorted(parsed, key=lambda program: program.held.object_name)
    writers = [program for program in ordered if program.module != BACKUP_EXPORTER]
    for program in writers[1:]:
        node, first = program.settings["recipients"], writers[0]
        if {*node.texts()} != {*first.settings["recipients"].texts()}:
            problem = f"other people can open this backup than that of {first.held.object_name}"
            yield finding(program.held, node, problem, "give every backup the recipients of backupRecipients")
    for program in ordered[1:]:
        for key in _PLACE:
            node, first_place = program.settings["storage"][key], ordered[0].settings["storage"][key]
            if node.text() != first_place.text():
                problem = f"backups lie at two places: {key} is {node.text()} here and {first_place.text()} elsewhere"
                yield finding(program.held, node, problem, "give every backup the object storage of the settings")
    if unknown:
        raise unknown


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
    Rule(
        id="stores-all-queried",
        promise="The query layer asks every Prometheus, store and ruler of the stack.",
        why="Dashboards and reports lack what is not queried, and nothing about the answer says so.",
        sources=("P1", "P4"),
        stack=_queried,
    ),
    Rule(
        id="endpoints-all-probed",
        promise="Every endpoint that people and programs use is probed by both Prometheus, as agreed on.",
        why="An endpoint that lets strangers in, or answers nobody, is noticed by nobody else.",
        sources=("K5", "P3"),
        stack=_probed,
    ),
    Rule(
        id="audit-follows-logins",
        promise="The audit log follows everything in the stack that lets people and programs in.",
        why="Who saw confidential traces, or was refused at Kafka, is told nowhere else.",
        sources=("M1", "J3"),
        stack=_followed,
    ),
    Rule(
        id="lag-all-measured",
        promise="The lag of every topic and of every group that reads telemetry is measured.",
        why="Who falls behind unseen loses what the topic no longer keeps.",
        sources=("K1", "P3"),
        stack=_measured,
    ),
    Rule(
        id="backups-complete",
        promise="Backups hold a database and every index of the search cluster; each Prometheus' blocks are watched.",
        why="What is left out of a backup is missed on the day it is needed.",
        sources=("D1",),
        stack=_backed_up,
    ),
    Rule(
        id="backups-same",
        promise="Every backup is encrypted for the same people and lies at the same place, where it is watched.",
        why="One more key in one job opens that backup to somebody whom nobody named; one less is missed in an outage.",
        sources=("D1", "P2"),
        stack=_same,
    ),
)
"""Rules of this concern."""
