"""Jaeger v2: spans go to a replicated store over verified TLS, and are shown over mutual TLS.

Classes of traces stay apart: each has its filter, its pipeline, its store and its readers. Jaeger's receivers and
exporters are those of a collector, so the collectors' rules guard them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from policy.documents import Document, Format, documents, parse
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._agreed import agreed
from policy.rules._servers import Container, containers
from policy.rules._values import FILES, client_tls, each_known, finding, loopback, number, server_tls, shown

_SEARCH: Final = ("elasticsearch", "opensearch")
_VOLATILE: Final = ("memory", "badger")


def _backends(document: Document) -> Iterator[tuple[str, str, Node]]:
    """Name, kind and settings of every store."""
    storage = document.node["extensions"]["jaeger_storage"]
    for section in ("backends", "metric_backends"):
        for name, backend in storage[section].items():
            for kind, settings in backend.items():
                yield name, kind, settings


def _store(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.JAEGER):
        for name, kind, settings in _backends(document):
            if kind in _SEARCH:
                addresses = list(settings["server_urls"].elements())
            elif kind == "prometheus":
                addresses = [settings["endpoint"]]
            else:
                addresses = []
                if kind == "grpc":
                    yield from client_tls(resource, settings["tls"], what=f"the store {name}")
            for address in addresses:
                if not address.text().startswith("https://"):
                    yield finding(
                        resource,
                        address,
                        f"spans travel in clear text: the address of the store {name} {shown(address)}",
                        "give it an https address",
                    )
            if kind in _SEARCH and not addresses:
                yield finding(
                    resource, settings["server_urls"], f"the store {name} has no address", "list the nodes with https"
                )
            if addresses or kind in _SEARCH:
                yield from client_tls(resource, settings["tls"], what=f"the store {name}")


def _store_login(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.JAEGER):
        for name, kind, settings in _backends(document):
            if kind not in (*_SEARCH, "prometheus"):
                continue
            login = settings["auth"]
            basic = login["basic"]
            by_file = (basic["username"].text() and basic["password_file"].text()) or any(
                login[section]["file_path"].text() for section in ("bearer_token", "api_key")
            )
            by_reference = basic["username"].text() and basic["password"].text().startswith("${")
            if basic["password"].text() and not by_reference and resource.kind == "ConfigMap":
                yield finding(
                    resource,
                    basic["password"],
                    f"the password of the store {name} is written into a ConfigMap",
                    "name its file with password_file",
                )
            elif not (by_file or by_reference or basic["password"].text() or login["authenticator"].text()):
                yield finding(
                    resource,
                    login,
                    f"Jaeger shows the store {name} no login",
                    "set auth.basic with username and password_file",
                )


def _durable(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.JAEGER):
        kinds = {name: kind for name, kind, _ in _backends(document)}
        query = document.node["extensions"]["jaeger_query"]["storage"]
        users = [query["traces"], query["traces_archive"]]
        users += [node["trace_storage"] for key, node in document.node["exporters"].items() if "jaeger_storage" in key]
        for user in users:
            kind = kinds.get(user.text(), "")
            if kind in _VOLATILE and user.text() not in options["allowed"]:
                yield finding(
                    resource,
                    user,
                    f"traces are kept in {user.text()}, which is of kind {kind}",
                    "keep them in the search cluster",
                )


def _copies(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.JAEGER):
        for _, kind, settings in _backends(document):
            for index, entry in settings["indices"].items() if kind in _SEARCH else ():
                node = entry["replicas"]
                if node.exists and (number(node) or 0) < options["replicas"]:
                    yield finding(
                        resource,
                        node,
                        f"{index} have {node.text()} copies beside the first one, less than {options['replicas']}",
                        f"set replicas to {options['replicas']} or remove the line",
                    )


def _mutual(resource: Resource, settings: Node, what: str) -> Iterator[Finding]:
    yield from server_tls(resource, settings["tls"], what=what)
    if not settings["tls"]["client_ca_file"].text() and not settings["auth"]["authenticator"].text():
        yield finding(
            resource,
            settings["tls"]["client_ca_file"],
            f"{what} takes everybody: it demands neither a certificate nor a login",
            "set tls.client_ca_file to the platform's CA",
        )


def _showing(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.JAEGER):
        started = set(document.node["service"]["extensions"].texts())
        for name in ("jaeger_query", "remote_sampling"):
            extension = document.node["extensions"][name]
            for protocol in ("http", "grpc") if name in started else ():
                if not loopback(extension[protocol]["endpoint"].text()):
                    yield from _mutual(resource, extension[protocol], f"{name} ({protocol})")


def _configured(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    jaegers = (container for resource in resources for container in containers(resource) if container.runs("jaeger"))
    yield from each_known(_configured_of(container, resources) for container in jaegers)


def _configured_of(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    word = container.flag("config")
    mounted = container.mounted(stack)
    path = (word.text if word else "").removeprefix("file:")
    file = mounted.at(path) if path else None
    if file and parse("jaeger.yaml", file.text)[0] is Format.JAEGER:
        return
    if path:
        mounted.missing()
    yield finding(
        container.resource,
        word.where if word else container.node.path,
        f"Jaeger's configuration {path} is in no ConfigMap or Secret that is mounted there"
        if path
        else "Jaeger starts without --config, as an all-in-one that keeps traces in memory and asks nobody for a login",
        "mount a Jaeger configuration and name it with --config",
    )


_EXPORTER: Final = "jaeger_storage_exporter"
_SAMPLED: Final = "tail_sampling"


def _apart(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.JAEGER):
        backends = document.node.at("extensions.jaeger_storage.backends")
        for name, backend in backends.items():
            for _, store in backend.items():
                yield from _of_store(resource, name, store)
        if any(key.startswith(_EXPORTER) for key, _ in document.node["exporters"].items()):
            yield from _writes(document)
        shown = document.node.at("extensions.jaeger_query.storage")
        for key in ("traces", "traces_archive"):
            yield from _is(resource, shown[key], [name for name, _ in backends.items()])
    for document in documents(resource, Format.OTHER):
        if isinstance(document.node.value, Mapping):
            for family in document.node["families"].elements():
                yield from _read_as(resource, family)


def _read_as(resource: Resource, family: Node) -> Iterator[Finding]:
    """Names by which indices of a class are read: those of the class, and of clearances above it."""
    classes = [*agreed()["trace_classes"]]
    own = family["name"].text().partition("-")[0]
    below = classes[: classes.index(own)] if own in classes else []
    aliases = [family["read_aliases"], family.at("template.template.aliases")]
    for name in [*aliases[0].texts(), *(key for key, _ in aliases[1].items())]:
        if name.partition("-")[0] in below:
            problem = f"{own} spans are shown to who may see {name.partition('-')[0]} ones: {name} leads to them"
            yield finding(resource, family["name"], problem, f"remove the alias {name}")


def _of_store(resource: Resource, name: str, store: Node) -> Iterator[Finding]:
    yield from _is(resource, store.at("indices.index_prefix"), [name])
    yield from _is(resource, store.at("auth.basic.username"), [resource.object_name])


def _is(resource: Resource, node: Node, wanted: Sequence[str]) -> Iterator[Finding]:
    if node.exists and node.text() not in wanted:
        problem = f"spans of one class are kept or shown as another's: it is {node.text()}"
        yield finding(resource, node, problem, f"set it to {' or '.join(wanted)}")


def _writes(document: Document) -> Iterator[Finding]:
    resource, node, classes = document.resource, document.node, agreed()["trace_classes"]
    pipelines = node.at("service.pipelines")
    entry = pipelines["traces/in"]["exporters"]
    for name, conditions in classes.items():
        if f"forward/{name}" not in entry.texts():
            yield finding(resource, entry, f"spans of the class {name} are kept nowhere", f"add forward/{name}")
        pipeline = pipelines[f"traces/{name}"]
        wanted = {
            "receivers": [f"forward/{name}"],
            "processors": [f"filter/{name}"],
            "exporters": [f"{_EXPORTER}/{name}"],
        }
        for key, parts in wanted.items():
            if pipeline[key].texts() != parts:
                problem = f"spans of the class {name} do not go through {parts[0]} alone"
                yield finding(resource, pipeline[key], problem, f"set {key} to {parts[0]}")
        yield from _is(resource, node["exporters"][f"{_EXPORTER}/{name}"]["trace_storage"], [name])
        spans = node["processors"][f"filter/{name}"].at("traces.span")
        if [" ".join(text.split()) for text in spans.texts()] != [" ".join(text.split()) for text in conditions]:
            problem = f"the filter of the class {name} lets through what was not agreed on"
            yield finding(
                resource, spans, problem, "leave it as in trace_classes of policy/agreed.yaml, or agree on it"
            )


def _kept(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.COLLECTOR):
        for name, sampler in document.node["processors"].items():
            if name.split("/", 1)[0] != _SAMPLED:
                continue
            kept = {policy["name"].text(): policy["type"].text() for policy in sampler["policies"].elements()}
            for policy, kind in agreed()["sampling_policies"].items():
                if kept.get(policy) != kind:
                    problem = f"no policy keeps what {policy} keeps"
                    yield finding(resource, sampler["policies"], problem, f"add {policy}, of type {kind}")


RULES: tuple[Rule, ...] = (
    Rule(
        id="jaeger-configured",
        promise="Every Jaeger runs a configuration of the stack.",
        why="What is not in the stack is reviewed by nobody, and Jaeger's own defaults are open and forgetful.",
        sources=("J1",),
        stack=_configured,
    ),
    Rule(
        id="jaeger-store-tls",
        promise="Jaeger reaches its stores over verified TLS.",
        why="Traces carry business data, and the store's password would travel with them.",
        sources=("J1",),
        kinds=FILES,
        resource=_store,
    ),
    Rule(
        id="jaeger-store-login",
        promise="Jaeger logs in at its stores with a secret from a file.",
        why="A store that takes writes without a login takes them from everybody.",
        sources=("J1", "J3"),
        kinds=FILES,
        resource=_store_login,
    ),
    Rule(
        id="jaeger-store-durable",
        promise="Traces are kept in a store that outlives Jaeger.",
        why="With a restart every trace would be gone, and replicas would each show others.",
        sources=("J1",),
        options={
            "allowed": Option(
                default=[],
                schema={"type": "array", "items": {"type": "string"}},
                meaning="Names of stores that may be of kind memory or badger.",
            )
        },
        kinds=FILES,
        resource=_durable,
    ),
    Rule(
        id="jaeger-store-copies",
        promise="Every index of traces has copies.",
        why="With a node of the search cluster its traces would be gone.",
        sources=("J1",),
        options={"replicas": Option(default=1, schema={"type": "integer", "minimum": 1}, meaning="Copies, at least.")},
        kinds=FILES,
        resource=_copies,
    ),
    Rule(
        id="jaeger-query",
        promise="Jaeger's query and sampling interfaces speak TLS to known callers only.",
        why="Its API has no login of its own: past the proxy everybody would read confidential traces.",
        sources=("J3",),
        kinds=FILES,
        resource=_showing,
    ),
    Rule(
        id="trace-classes-apart",
        promise="Spans of each class go through the agreed filter into the store of that class, and are shown from it.",
        why="Confidential spans in the store of public ones are shown to everybody who may see any.",
        sources=("J1", "J3"),
        kinds=FILES,
        resource=_apart,
    ),
    Rule(
        id="traces-sampled-as-agreed",
        promise="Traces with errors, slow ones and a share of all are kept.",
        why="What is dropped here is nowhere: an incident would have no traces.",
        sources=("J1",),
        kinds=FILES,
        resource=_kept,
    ),
)
"""Rules of this concern."""
