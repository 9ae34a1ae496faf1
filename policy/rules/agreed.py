"""What is not agreed on is a finding: kinds of resources, programs, settings of Kafka, parts of collectors.

Other rules look for what is bad in what they know. These refuse what no rule reads, by the table
``policy/agreed.yaml``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from policy.model import Finding, Options, Resource, Rule
from policy.rules._agreed import ADD, agreed, fits, table, unknown_keys
from policy.rules._collector import collectors
from policy.rules._kafka import TOPIC, servers
from policy.rules._servers import WORKLOADS, Container, all_containers, pod_of
from policy.rules._values import finding

_FILES = frozenset({"ConfigMap", "Secret"})
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
    scratch = {volume["name"].text() for volume in pod["volumes"].elements() if volume["emptyDir"].exists}
    for container in all_containers(resource):
        for mount in container.node["volumeMounts"].elements():
            path = mount["mountPath"]
            if mount["name"].text() in scratch and not fits(path.text(), agreed()["scratch_paths"]):
                yield finding(resource, path, f"what the program reads at {path.text()} is empty scratch space", ADD)


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
        promise="Pods have agreed settings only, and scratch space at agreed paths only.",
        why="Names of one's own, another resolver or an empty folder over certificates lead clients to anybody.",
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
        kinds=frozenset({*_FILES, "Topic"}),
        resource=_kafka_settings,
    ),
    Rule(
        id="collector-parts-agreed",
        promise="Collectors have receivers, processors, exporters, extensions and connectors of agreed types only.",
        why="A receiver that knows no login or an exporter that prints telemetry is seen by no rule about those known.",
        sources=("O1", "O5"),
        kinds=_FILES,
        resource=_collector_parts,
    ),
)
"""Rules of this concern."""
