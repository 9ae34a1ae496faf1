"""What is not agreed on is a finding: kinds of resources, programs, settings of servers, parts of collectors.

Other rules look for what is bad in what they know. These refuse what no rule reads, by the tables
``policy/agreed.yaml`` and ``policy/settings``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from policy.documents import STRUCTURED, Format, documents, files, ini, parse, properties
from policy.model import UNKNOWN, Finding, Node, Option, Options, Resource, Rule
from policy.rules import _values
from policy.rules._agreed import ADD, agreed, fits, table, unagreed_mounts, unagreed_volumes, unknown_keys
from policy.rules._dataplane import TOPIC, collectors, servers
from policy.rules._kubernetes import WORKLOADS, pod_of, template
from policy.rules._servers import Container, all_containers
from policy.rules._values import FILES, each_known, finding, seconds

_SECTIONS: Final = ("receivers", "processors", "exporters", "extensions", "connectors")


def _type(resource: Resource, options: Options) -> Iterator[Finding]:
    if not fits(resource.type, agreed()["resource_types"]):
        yield finding(resource, "type", f"no rule looks at resources of type {resource.type}", ADD)


def _programs(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in all_containers(resource):
        yield from _program(container)
        node = container.node
        for hook in (node["lifecycle"]["postStart"], node["lifecycle"]["preStop"]["exec"]):
            if hook.exists:
                yield finding(resource, hook, "it runs a command beside the container's program", "remove it")
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            command = node[probe]["exec"]["command"]
            if command.exists and not fits(" ".join(command.texts()), agreed()["checks"]):
                yield finding(resource, command, f"{' '.join(command.texts())} does not say whether it is well", ADD)


def _program(container: Container) -> Iterator[Finding]:
    resource, node = container.resource, container.node
    words = [*node["command"].texts(), *node["args"].texts()]
    fitting = [program for program in agreed()["programs"] if words[: len(program["starts"])] == program["starts"]]
    where = node["command"]
    if not fitting:
        started = where.texts()[0] if where.texts() else "the image's own program"
        yield finding(resource, where, f"{started} is no program that is agreed on", ADD)
        return
    program = max(fitting, key=lambda known: len(known["starts"]))
    for word in _strange(words[len(program["starts"]) :], program.get("arguments", ())):
        name = word.partition("=")[0]
        yield finding(resource, where, f"{name} of {words[0]} is not agreed on, or not with that value", ADD)
    for name, times in Counter(word.partition("=")[0] for word in words if word.startswith("-")).items():
        if times > 1 and name not in program.get("repeated", ()):
            yield finding(resource, where, f"{name} of {words[0]} is given {times} times", "give it once")
    if node["envFrom"].value:
        yield finding(resource, node["envFrom"], "variables come from a file that is read by nobody", "name each one")
    for variable in node["env"].elements():
        name = variable["name"].text()
        if name not in program.get("variables", ()):
            yield finding(resource, variable, f"{words[0]} is started with {name}, which is not agreed on", ADD)


def _strange(words: Sequence[str], patterns: Sequence[str]) -> Iterator[str]:
    """Words that no pattern has, alone or with the word after them."""
    index = 0
    while index < len(words):
        pair = " ".join(words[index : index + 2])
        alone = fits(words[index], patterns)
        if not alone and fits(pair, [pattern for pattern in patterns if " " in pattern]):
            index += 2
            continue
        if not alone:
            yield words[index]
        index += 1


def _pod_settings(resource: Resource, options: Options) -> Iterator[Finding]:
    pod = pod_of(resource)
    if pod is None:
        return
    yield from unknown_keys(resource, pod, agreed()["pod_settings"])
    yield from unagreed_volumes(resource, pod)
    yield from each_known(unagreed_mounts(container) for container in all_containers(resource))


def _secret_type(resource: Resource, options: Options) -> Iterator[Finding]:
    kind = resource.node["type"]
    if kind.exists and kind.text() not in agreed()["secret_types"]:
        yield finding(resource, kind, f"Kubernetes acts on Secrets of type {kind.text()}", ADD)


def _kafka_settings(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type == TOPIC:
        yield from table("kafka_topic").findings(resource, resource.node["config"])
        return
    for server in servers(resource):
        yield from table("kafka").findings(resource, server.node)


def _collector_parts(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for section in _SECTIONS:
            for component in collector.components(section):
                kind = component.name.partition("/")[0]
                if not {kind, component.name} & {*agreed()["collector_parts"][section]}:
                    yield finding(resource, component.node, f"{section} of type {kind} are not agreed on", ADD)
        for node, what in collector.undefined():
            yield finding(resource, node, f"no rule sees the {what}: this file defines none", "define it in the file")


_SYNCHRONOUS_FROM: Final = 2
"""With so many standbys a commit waits for one of them."""


def _prometheus(resource: Resource, options: Options) -> Iterator[Finding]:
    table = agreed()["prometheus_settings"]
    for document in documents(resource, Format.PROMETHEUS):
        node = document.node
        yield from unknown_keys(resource, node, table["file"])
        yield from unknown_keys(resource, node["global"], table["global"])
        for section in (node["global"], *node["scrape_configs"].elements()):
            for key in ("scrape_interval", "evaluation_interval"):
                yield from _interval(resource, section[key], float(options["seconds"]))
        for job in node["scrape_configs"].elements():
            yield from unknown_keys(resource, job, table["jobs"])
            for key in ("relabel_configs", "metric_relabel_configs"):
                for step in job[key].elements():
                    action = step["action"].text() or "replace"
                    text = action if action == "replace" else f"{action} {step['regex'].text()}"
                    if not fits(text, table[key]):
                        yield finding(resource, step, f"targets or samples are left out: {text}", ADD)
                    becomes = f"{step['target_label'].text()} {step['replacement'].text() or '$1'}"
                    if action == "replace" and not fits(becomes, table["relabel_targets"]):
                        yield finding(resource, step, f"targets or samples are called something else: {becomes}", ADD)


def _interval(resource: Resource, node: Node, longest: float) -> Iterator[Finding]:
    if node.exists and not 0 < (seconds(node.text()) or 0) <= longest:
        yield finding(
            resource, node, f"an alert comes too late: it is {node.text()}", f"set it to {longest:g}s at the most"
        )


def _postgres(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, text in files(resource):
        if _values.is_postgres(text):
            yield from _postgres_settings(resource, name, _values.postgres(text))
        elif name.endswith(".conf") and _values.is_hba(text):
            yield from _logins(resource, name, [" ".join(line.text.split()) for line in _values.hba(text)])
        elif name == "pg_ident.conf":
            for line in text.splitlines():
                if line.split("#", 1)[0].strip():
                    yield finding(resource, f"{name}: {line}", "one user of the system is another of the database", ADD)


def _logins(resource: Resource, name: str, lines: Sequence[str]) -> Iterator[Finding]:
    own, databases = agreed()["postgres_logins"]["own"], agreed()["postgres_logins"]["databases"]
    for number, line in enumerate(lines, 1):
        if not fits(line, [*own, *databases]):
            yield finding(resource, f"{name}: line {number}", f"a login that is not agreed on: {line}", ADD)
    if [*lines[: len(own)]] != own:
        problem = "the lines of the server's own logins are not all there, first and in the agreed order"
        yield finding(resource, name, problem, "write them as in postgres_logins of policy/agreed.yaml")


def _postgres_settings(resource: Resource, name: str, settings: Mapping[str, str]) -> Iterator[Finding]:
    table: Mapping[str, str] = agreed()["postgres_settings"]
    for key, value in settings.items():
        if key not in table or not fits(value, [table[key]]):
            problem = f"{key} is not agreed on" if key not in table else f"{key} is {value}, which is not agreed on"
            yield finding(resource, f"{name}: {key}", problem, ADD)
    standbys = settings.get("obs.standbys", "0")
    if standbys.isdigit() and int(standbys) >= _SYNCHRONOUS_FROM:
        names = settings.get("synchronous_standby_names", "")
        if not names.startswith("ANY 1 ("):
            yield finding(
                resource,
                f"{name}: synchronous_standby_names",
                f"commits are confirmed that no standby has: it is {names or 'empty'}",
                "let a commit wait for any one of the members",
            )


def _search(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.SEARCH):
        content = document.node.value
        if isinstance(content, Mapping):
            yield from table("search").findings(resource, document.node)
    for name, text in files(resource):
        for line in text.splitlines() if name == "jvm.options" else ():
            if line.strip() and not fits(line.strip(), agreed()["search_jvm_options"]):
                yield finding(resource, f"{name}: {line}", "an option of the JVM that is not agreed on", ADD)


_MANIFESTS: Final = frozenset(
    {"Certificate", "CronJob", "DaemonSet", "Deployment", "HorizontalPodAutoscaler", "Issuer", "Namespace"}
    | {"PodDisruptionBudget", "Service", "StatefulSet", *FILES}
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
    Format.OAUTH_PROXY: "oauth_proxy",
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
    for document in documents(resource, *_TABLES, Format.OTHER):
        if document.format in _TABLES:
            yield from table(_TABLES[document.format]).findings(resource, document.node)
        elif document.name.endswith(STRUCTURED) and isinstance(document.node.value, str):
            yield finding(resource, document.node, "no rule can read it", "write YAML or JSON, as its name says")


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
            yield from table("grafana").findings(resource, Node(ini(text), f"{name}:"))
        if name.endswith(".toml"):
            yield from _directory(resource, name, _values.toml(text))


def _directory(resource: Resource, name: str, content: Mapping[str, Any] | None) -> Iterator[Finding]:
    if content is None:
        yield finding(resource, name, "no rule can read it", "write TOML, as its name says")
    elif "servers" in map(str.lower, content):
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
    if resource.kind in FILES:
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
        id="resource-type-agreed",
        promise="Every resource is of a type that rules look at.",
        why="A patch, a chart, a command or a policy of another kind changes what rules have read, unseen by them.",
        sources=("K5", "M4"),
        resource=_type,
    ),
    Rule(
        id="program-agreed",
        promise="Every container starts an agreed program itself, with agreed arguments, variables and checks only.",
        why="A wrapper, a flag or a variable can turn off what its files say: TLS, logins, the checks of a JVM.",
        sources=("K5", "O1", "P2", "M4"),
        kinds=WORKLOADS,
        resource=_programs,
    ),
    Rule(
        id="pod-settings-agreed",
        promise="Pods have agreed settings only, scratch space at agreed paths only, and files under their own names.",
        why="Names of one's own, another resolver or something else over certificates lead clients to anybody.",
        sources=("K5", "M4"),
        kinds=WORKLOADS,
        resource=_pod_settings,
    ),
    Rule(
        id="secret-type-agreed",
        promise="Secrets are of agreed types.",
        why="Kubernetes fills one of type service-account-token with a token that never ends.",
        sources=("M4",),
        kinds=frozenset({"Secret"}),
        resource=_secret_type,
    ),
    Rule(
        id="kafka-settings-agreed",
        promise="Nodes and topics of Kafka have agreed settings only, with agreed values.",
        why="Ciphers without encryption, foreign authenticators or limits of one topic undo what the others say.",
        sources=("K1", "K5"),
        kinds=frozenset({*FILES, "Topic"}),
        resource=_kafka_settings,
    ),
    Rule(
        id="collector-parts-agreed",
        promise="Collectors have receivers, processors, exporters, extensions and connectors of agreed types only.",
        why="A receiver that knows no login or an exporter that prints telemetry is seen by no rule about those known.",
        sources=("O1", "O5"),
        kinds=FILES,
        resource=_collector_parts,
    ),
    Rule(
        id="prometheus-settings-agreed",
        promise="Prometheus reads every target in time, leaves out what is agreed only and sends samples nowhere else.",
        why="Samples that are dropped, fetched once an hour or by way of a proxy raise no alert.",
        sources=("P1", "P3"),
        options={
            "seconds": Option(
                default=60,
                schema={"type": "number"},
                meaning="longest time between two scrapes or evaluations",
            )
        },
        kinds=FILES,
        resource=_prometheus,
    ),
    Rule(
        id="postgres-settings-agreed",
        promise="PostgreSQL has agreed settings and logins only.",
        why="Files from elsewhere, libraries, archives, weak ciphers or one more login open every database.",
        sources=("G1",),
        kinds=FILES,
        resource=_postgres,
    ),
    Rule(
        id="search-settings-agreed",
        promise="Search nodes have agreed settings with agreed values, and agreed options of the JVM only.",
        why="Pages of other sites, debuggers and realms of one's own come in past users and roles.",
        sources=("J1", "J3"),
        kinds=FILES,
        resource=_search,
    ),
    Rule(
        id="collector-settings-agreed",
        promise="Collectors and Jaeger have agreed settings only, with agreed values.",
        why="A limit that is off, a header, a page of another site or a count that is dropped undoes what others say.",
        sources=("O1", "O5", "J1"),
        kinds=FILES,
        resource=_collector,
    ),
    Rule(
        id="server-settings-agreed",
        promise="Prometheus, Alertmanager, Thanos, the prober and web configurations have agreed settings only.",
        why="Headers, ciphers, muted hours or another answer that counts as closed are looked at by no other rule.",
        sources=("P2", "A2"),
        kinds=FILES,
        resource=_servers,
    ),
    Rule(
        id="grafana-settings-agreed",
        promise="Grafana, its directory and its data sources have agreed settings only, with agreed values.",
        why="One more way to log in, a plugin, a filter that finds everybody or sessions of years open dashboards.",
        sources=("G1", "G5"),
        kinds=FILES,
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
        kinds=FILES,
        resource=_logging,
    ),
)
"""Rules of this concern."""
