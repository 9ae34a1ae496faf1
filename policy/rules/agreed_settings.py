"""Settings of files that nobody agreed on, or that have another value than was agreed on (``policy/settings``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policy.documents import Format, documents, files, parse, properties
from policy.model import UNKNOWN, Finding, Node, Options, Resource, Rule
from policy.rules import _formats
from policy.rules._agreed import table
from policy.rules._kafka import servers
from policy.rules._kubernetes import template
from policy.rules._values import each_known, finding

_FILES: Final = frozenset({"ConfigMap", "Secret"})
_MANIFESTS: Final = frozenset(
    {"Certificate", "CronJob", "DaemonSet", "Deployment", "HorizontalPodAutoscaler", "Issuer", "Namespace"}
    | {"PodDisruptionBudget", "Service", "StatefulSet", *_FILES}
)
_PROVIDERS: Final = frozenset(
    {*(f"pulumi:providers:{name}" for name in ("grafana", "kafka", "kubernetes"))}
    | {"random:index/randomPassword:RandomPassword"}
)
_UNVERIFIED: Final = re.compile(r"insecure-skip-tls-verify[\"']?\s*:\s*true", re.IGNORECASE)
_OPERATOR: Final = "operator"
"""User of Alertmanager who may change it; data sources of other kinds need nobody like that."""
_BALANCER: Final = "LoadBalancer"
"""Type of a Service whose annotations are up to a stack file."""
_AUTHORIZER: Final = "kafka.authorizer.logger"
_SAME: Final = {"initContainers": "containers"}
_TABLES: Final[Mapping[Format, str]] = {
    Format.PROMETHEUS: "prometheus",
    Format.WEB: "web",
    Format.OBJECT_STORE: "objects",
    Format.PROBER: "prober",
    Format.ALERTMANAGER: "alertmanager",
}


def _collector(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.COLLECTOR, Format.JAEGER, Format.OTHER):
        if document.format is not Format.OTHER:
            yield from table("collector").findings(resource, document.node)
        elif document.name == "strategies.json" and not isinstance(document.node.value, Mapping):
            yield finding(resource, document.node, "nobody can read how much SDKs sample", "write JSON")
        elif document.name == "strategies.json":
            yield from table("sampling").findings(resource, document.node)


def _servers(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, *_TABLES):
        yield from table(_TABLES[document.format]).findings(resource, document.node)


def _grafana(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.DATASOURCES):
        yield from table("datasources").findings(resource, document.node)
        for source in document.node["datasources"].elements():
            user = source["basicAuthUser"]
            if user.text() == _OPERATOR and source["type"].text() != "alertmanager":
                problem = f"{source['name'].text()} is read as {_OPERATOR}, who may silence alerts"
                yield finding(resource, user, problem, "give it a reader")
    for name, text in files(resource):
        if name.endswith(".ini"):
            yield from table("grafana").findings(resource, Node(_formats.ini(text), f"{name}:"))
        content = _formats.toml(text) if name.endswith(".toml") else None
        if content is not None and "servers" in content:
            yield from table("ldap").findings(resource, Node(content, f"{name}:"))


def _services(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.OTHER):
        if document.name == "config.yaml" and isinstance(document.node.value, Mapping):
            yield from table("services").findings(resource, document.node, resource.object_name)


def _providers(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type not in _PROVIDERS:
        return
    kind, known = resource.type.rpartition(":")[2], table("providers")
    yield from known.missing(resource, resource.node, kind)
    settings = [(key, node) for key, node in resource.node.items() if not key.startswith("__")]
    yield from each_known(known.findings(resource, node, f"{kind}.{key}") for key, node in settings)
    file = resource.node["kubeconfig"]
    if file.raw is not UNKNOWN and _UNVERIFIED.search(file.text()):
        yield finding(resource, "kubeconfig", "anybody may pass for the API server", "remove insecure-skip-tls-verify")


def _logging(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, text in files(resource):
        if name.startswith("log4j2"):
            yield from _log4j(resource, name, text)


def _log4j(resource: Resource, name: str, text: str) -> Iterator[Finding]:
    if name.endswith(".properties"):
        yield from table("log4j2_search").findings(resource, Node(properties(text), f"{name}:"))
        return
    content = Node(parse(name, text)[1], f"{name}:")
    yield from table("log4j2").findings(resource, content)
    if name == "log4j2.yaml" and any(server["authorizer.class.name"].text() for server in servers(resource)):
        loggers = content.at("Configuration.Loggers.Logger")
        if (_AUTHORIZER, "info") not in {(one["name"].text(), one["level"].text()) for one in loggers.elements()}:
            yield finding(resource, loggers, "who was refused is not logged", f"log {_AUTHORIZER} at info")


def _manifest(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes or resource.kind not in _MANIFESTS:
        return
    known, kind, annotations = table("manifests"), resource.kind, resource.node.at("metadata.annotations")
    balancer = kind == "Service" and resource.node.at("spec.type").text() == _BALANCER
    yield from known.findings(resource, annotations, f"{_BALANCER if balancer else kind}.metadata.annotations")
    if resource.kind in _FILES:
        return
    pod = template(resource)
    yield from known.findings(resource, Node(_without_pod(resource.node["spec"].value), "spec"), f"{kind}.spec")
    yield from known.findings(resource, pod["metadata"]["annotations"], "pod.metadata.annotations")
    for section, node in pod["spec"].items():
        # What starts containers is bound as what runs in them is.
        yield from known.findings(resource, node, f"pod.spec.{_SAME.get(section, section)}")


def _without_pod(spec: Any) -> Any:
    """A workload's settings beside its pods."""
    if not isinstance(spec, Mapping) or not spec.keys() & {"template", "jobTemplate"}:
        return spec
    beside = {key: value for key, value in spec.items() if key != "template"}
    if "jobTemplate" in beside:
        job = beside["jobTemplate"]
        beside["jobTemplate"] = {**job, "spec": _without_pod(job.get("spec"))} if isinstance(job, Mapping) else job
    return beside


RULES: tuple[Rule, ...] = (
    Rule(
        id="collector-settings-agreed",
        promise="Collectors and Jaeger have agreed settings only, with agreed values.",
        why="A limit that is off, a header, a page of another site or a count that is dropped undoes what others say.",
        sources=("O1", "O5", "J1"),
        kinds=_FILES,
        resource=_collector,
    ),
    Rule(
        id="server-settings-agreed",
        promise="Prometheus, Alertmanager, Thanos, the prober and web configurations have agreed settings only.",
        why="Headers, ciphers, muted hours or another answer that counts as closed are looked at by no other rule.",
        sources=("P2", "A2"),
        kinds=_FILES,
        resource=_servers,
    ),
    Rule(
        id="grafana-settings-agreed",
        promise="Grafana, its directory and its data sources have agreed settings only, with agreed values.",
        why="One more way to log in, a plugin, a filter that finds everybody or sessions of years open dashboards.",
        sources=("G1", "G5"),
        kinds=_FILES,
        resource=_grafana,
    ),
    Rule(
        id="manifest-settings-agreed",
        promise="Objects of Kubernetes and their pods have agreed settings and annotations only, with agreed values.",
        why="A name in a certificate, a probe once an hour or an annotation that others act on weakens as well.",
        sources=("K5", "M4"),
        kinds=_MANIFESTS,
        resource=_manifest,
    ),
    Rule(
        id="service-settings-agreed",
        promise="Our own programs look often enough, keep copies, and read with groups of their own.",
        why="A look once a day, an index without a copy or one that is gone in an hour are seen in an outage.",
        sources=("D1", "J1", "M1"),
        kinds=frozenset({"ConfigMap"}),
        resource=_services,
    ),
    Rule(
        id="provider-settings-agreed",
        promise="Providers come in over verified TLS, and generated passwords are long and of all letters.",
        why="Who stands in between gets the administrator's password; one of ten digits each is guessed from its hash.",
        sources=("K5", "G5"),
        kinds=frozenset({"RandomPassword", "grafana", "kafka", "kubernetes"}),
        resource=_providers,
    ),
    Rule(
        id="logging-agreed",
        promise="Kafka and search nodes log what was agreed on, to their own output, with line ends escaped.",
        why="The audit log reads who was refused there; a level or an appender can silence it or send it elsewhere.",
        sources=("M1",),
        kinds=_FILES,
        resource=_logging,
    ),
)
"""Rules of this concern."""
