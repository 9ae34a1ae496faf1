"""The data plane as rules see it. Kafka's files and resources: nodes, listeners, clients; a collector's configuration:
components, servers, and the pipelines that carry others' telemetry.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from policy.documents import Document, Format, documents
from policy.model import Node, Resource
from policy.rules._values import host_of, loopback

SCRAM = "SCRAM-SHA-512"
TOPIC = "kafka:index/topic:Topic"
ACL = "kafka:index/acl:Acl"
USER = "kafka:index/userScramCredential:UserScramCredential"
QUOTA = "kafka:index/quota:Quota"
PROVIDER = "pulumi:providers:kafka"
PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
BOOTSTRAP = ("bootstrap", "bootstrap_servers", "bootstrap.servers")
"""How services name the brokers in their settings files."""


@dataclass(frozen=True)
class Listener:
    """One listener of a node.

    Attributes:
        name: Its name.
        address: Where it listens, ``host:port``; without a host on every address.
    """

    name: str
    address: str


class Configured:
    """What has one document as its configuration."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.resource = document.resource
        self.node = document.node


class Server(Configured):
    """One ``server.properties``."""

    def __getitem__(self, key: str) -> Node:
        return self.node[key]

    @property
    def broker(self) -> bool:
        """Whether it keeps records; a node that does not say is one."""
        roles = words(self.node["process.roles"])
        return not roles or "broker" in roles

    @cached_property
    def listeners(self) -> tuple[Listener, ...]:
        """What it listens on."""
        split = (word.partition("://") for word in words(self.node["listeners"]))
        return tuple(Listener(name, address) for name, _, address in split)

    @cached_property
    def protocols(self) -> Mapping[str, str]:
        """Listener -> protocol, as ``listener.security.protocol.map`` has it."""
        pairs = (word.partition(":") for word in words(self.node["listener.security.protocol.map"]))
        return {name.strip(): protocol.strip() for name, _, protocol in pairs}

    def protocol(self, listener: str) -> str:
        """Protocol of a listener; empty when the node would not start for want of one."""
        return self.protocols.get(listener, listener if listener in PROTOCOLS else "")

    @property
    def between_nodes(self) -> frozenset[str]:
        """Listeners that nodes talk to each other by."""
        names = [*words(self.node["controller.listener.names"]), *words(self.node["inter.broker.listener.name"])]
        return frozenset(names)

    def of_listener(self, listener: str, key: str) -> Node:
        """A setting of a listener: its own, else the node's."""
        own = self.node[f"listener.name.{listener.lower()}.{key}"]
        return own if own.exists else self.node[key]

    def every(self, key: str) -> Iterator[Node]:
        """A setting wherever it is set: for the node, and for single listeners."""
        for name, node in self.node.items():
            if name == key or (name.startswith("listener.name.") and name.endswith(f".{key}")):
                yield node


@dataclass(frozen=True)
class Client:
    """The settings of one client in a properties file; several clients may share a file by prefixes.

    Attributes:
        document: The file.
        prefix: What its keys start with, for example ``producer.``.
    """

    document: Document
    prefix: str

    def __getitem__(self, key: str) -> Node:
        own = self.document.node[f"{self.prefix}{key}"]
        shared = self.document.node[key]
        return shared if self.prefix and not own.exists and shared.exists else own


@dataclass(frozen=True)
class Service:
    """A service's settings file that names brokers.

    Attributes:
        document: The file.
        node: The mapping that names them.
        bootstrap: Where it names them.
    """

    document: Document
    node: Node
    bootstrap: Node

    @property
    def topics(self) -> list[tuple[Node, str]]:
        """Topics that it names, and where; also those of `written`."""
        single = [self.node[key] for key in ("topic", "raw_topic")]
        named = [(self.node["topics"], name) for name in self.node["topics"].texts()]
        return [*named, *((node, node.text()) for node in single if node.text()), *self.written]

    @property
    def written(self) -> list[tuple[Node, str]]:
        """Topics that it names by what it writes into each, beside the brokers or at the top of the file."""
        beside = [] if self.node is self.document.node else [self.document.node]
        places = [self.node["topics"], *(file["topics"] for file in beside)]
        own = [(file["topic"], file["topic"].text()) for file in beside if file["topic"].text()]
        named = [(node, node.text()) for place in places for _, node in place.items() if isinstance(node.value, str)]
        return [*named, *own]


def words(node: Node) -> list[str]:
    """Elements of a list that is written with commas."""
    return [part.strip() for part in node.text().split(",") if part.strip()]


def servers(resource: Resource) -> Iterator[Server]:
    """Every Kafka node that a resource configures."""
    for document in documents(resource, Format.KAFKA_SERVER):
        yield Server(document)


def clients(resource: Resource) -> Iterator[Client]:
    """Every Java client that a resource configures."""
    for document in documents(resource, Format.KAFKA_CLIENT, Format.OTHER):
        content = document.node.value
        if not isinstance(content, Mapping) or not document.name.endswith((".properties", ".config", ".conf")):
            continue
        if document.format is Format.OTHER and not any(key.startswith(("ssl.", "sasl.")) for key in content):
            continue
        marks = ("bootstrap.servers", "security.protocol")
        prefixes = {key.removesuffix(mark) for key in content for mark in marks if key.endswith(mark)}
        for prefix in sorted(prefixes - {"controller.quorum."}) or [""]:
            yield Client(document, prefix)


def services(resource: Resource) -> Iterator[Service]:
    """Every service (not Java, no collector) whose settings file names brokers."""
    for document in documents(resource, Format.OTHER, Format.THANOS_CLIENT):
        if not document.name.endswith((".yml", ".yaml", ".json")):
            continue
        for path in _with_bootstrap(_Content(document.node.value)):
            node = document.node
            for step in path:
                node = node[step]
            for key in BOOTSTRAP:
                brokers = node[key]
                texts = brokers.texts() or [brokers.text()]
                if brokers.exists and all(host_of(text) and ":" in text for text in texts):
                    yield Service(document, node, brokers)


class _Content:
    """What `documents` parsed, as the key of a cache: the same object is the same content."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


@functools.lru_cache(maxsize=1024)
def _with_bootstrap(content: _Content) -> tuple[tuple[str | int, ...], ...]:
    """Paths of the mappings that have a key which names brokers, outer ones first."""
    return tuple(_paths_to_bootstrap(content.value, ()))


def _paths_to_bootstrap(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, Mapping):
        if not value.keys().isdisjoint(BOOTSTRAP):
            yield path
        for key, inner in value.items():
            yield from _paths_to_bootstrap(inner, (*path, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, inner in enumerate(value):
            yield from _paths_to_bootstrap(inner, (*path, index))


def super_users(server: Server) -> list[str]:
    """Principals that may do everything."""
    return [part.strip() for part in server["super.users"].text().split(";") if part.strip()]


def mapped_names(server: Server) -> list[str]:
    """Names that the node's principal mapping lists."""
    texts = [node.text() for node in server.every("ssl.principal.mapping.rules")]
    return [name for text in texts for group in re.findall(r"\^CN=\(?([^)$]*)\)?\$", text) for name in group.split("|")]


BUCKETS = "kafkabuckets"
"""Our exporter to Kafka: all copies in sync, Snappy, SCRAM-SHA-512 and no new topics, which cannot be set otherwise."""
RECORDS = "otlprecords"
"""Our exporter of Kafka records: it has no queue and no retries, and answers with what became of a record's request."""
WRITERS = ("kafka", BUCKETS)
"""Exporters that write records."""
READER = "kafkarecords"
"""Our receiver of Kafka."""
LOGIN = "login"
"""Our extension that checks passwords, over gRPC before the message is read."""
GATE = "gate"
"""Our processor that lets in what the catalogue has, in the sender's name alone, and masks it."""
DRAIN = "drain"
"""Our extension that says when the queue on disk is empty."""
KAFKA = frozenset({*WRITERS, "kafkametrics", "kafka_topics_observer"})
WITHOUT_NETWORK = frozenset({"debug", "nop", "file", "jaeger_storage_exporter"})
"""Exporters that send nothing over the network themselves, or whose network is described elsewhere."""
_PASSING = frozenset({"routing", "forward", "failover", "roundrobin"})
"""Connectors that answer only after the pipelines behind them have."""
_SAMPLING = frozenset({"tail_sampling", "groupbytrace"})
_ROLES = {
    "receivers": ("receivers", "connectors"),
    "processors": ("processors",),
    "exporters": ("exporters", "connectors"),
}
"""What a pipeline names -> where the file defines it."""
URLS = ("endpoint", "metrics_endpoint", "traces_endpoint", "logs_endpoint", "profiles_endpoint")


@dataclass(frozen=True)
class Component:
    """A receiver, exporter, processor, connector or extension.

    Attributes:
        name: ``type/name``.
        node: Its settings.
        section: Where it is defined: ``receivers``, ``exporters`` ...
    """

    name: str
    node: Node
    section: str

    def __str__(self) -> str:
        return f"{self.section[:-1]} {self.name}"

    @property
    def type(self) -> str:
        """What it is; our receiver of Kafka has the settings of the stock one, and goes by its rules."""
        kind = self.name.split("/", 1)[0]
        return "kafka" if kind == READER else kind


@dataclass(frozen=True)
class Serving:
    """A server inside a collector.

    Attributes:
        what: How messages call it.
        node: Its settings: ``endpoint``, ``tls``, ``auth``.
    """

    what: str
    node: Node

    @property
    def loopback(self) -> bool:
        """Whether only its own pod reaches it; so it is where no address is set."""
        endpoint = self.node["endpoint"].text()
        return not endpoint or loopback(endpoint) or self.node["transport"].text() == "unix"


@dataclass(frozen=True)
class Pipeline:
    """A pipeline.

    Attributes:
        name: ``signal/name``.
        node: Its settings.
    """

    name: str
    node: Node

    @property
    def signal(self) -> str:
        """``metrics``, ``traces`` or ``logs``."""
        return self.name.split("/", 1)[0]

    @property
    def sampling(self) -> bool:
        """Whether it holds spans back to choose among traces, so that it answers before it is done."""
        return self.has(*_SAMPLING)

    def has(self, *types: str) -> bool:
        """Whether one of its processors is of one of the types."""
        return any(name.split("/", 1)[0] in types for name in self.node["processors"].texts())


class Collector(Configured):
    """One configuration file of a collector."""

    def components(self, section: str, *types: str) -> Iterator[Component]:
        """Components of a section, of some types or of all."""
        for name, node in self.node[section].items():
            component = Component(name, node, section)
            if not types or component.type in types:
                yield component

    def component(self, section: str, name: str) -> Component:
        """One component; its node is null when it is not there."""
        return Component(name, self.node[section][name], section)

    @property
    def extensions(self) -> list[str]:
        """Extensions that run."""
        return self.node.at("service.extensions").texts()

    def receiving(self) -> Iterator[Serving]:
        """Servers that take telemetry."""
        for receiver in self.components("receivers"):
            for name, protocol in receiver.node["protocols"].items():
                yield Serving(f"{receiver} ({name})", protocol)
            if receiver.type == "zipkin":
                yield Serving(str(receiver), receiver.node)

    def exposing(self) -> Iterator[Serving]:
        """Servers that give metrics to scrapers."""
        for exporter in self.components("exporters", "prometheus"):
            yield Serving(str(exporter), exporter.node)

    def kafka(self) -> Iterator[Component]:
        """Everything that talks to Kafka."""
        for section in ("receivers", "exporters", "extensions"):
            yield from self.components(section, *KAFKA)

    def sending(self) -> Iterator[Component]:
        """Exporters that send to a server other than Kafka."""
        for exporter in self.components("exporters"):
            if exporter.type in KAFKA or exporter.type in WITHOUT_NETWORK or exporter.type == "prometheus":
                continue
            if exporter.type == "loadbalancing":
                yield Component(exporter.name, exporter.node.at("protocol.otlp"), exporter.section)
            else:
                yield exporter

    @cached_property
    def pipelines(self) -> tuple[Pipeline, ...]:
        """Every pipeline."""
        return tuple(Pipeline(name, node) for name, node in self.node.at("service.pipelines").items())

    def undefined(self) -> Iterator[tuple[Node, str]]:
        """Places where a pipeline names a part that the file does not define, and what it names there.

        A pipeline, or its list of names, that is one text is such a place: an expression stands for what is elsewhere.
        """
        defined = {
            role: {name for section in sections for name, _ in self.node[section].items()}
            for role, sections in _ROLES.items()
        }
        for pipeline in self.pipelines:
            if isinstance(pipeline.node.value, str):
                yield pipeline.node, f"pipeline {pipeline.name}"
            for role, names in defined.items():
                listed = pipeline.node[role]
                for name in (listed,) if isinstance(listed.value, str) else listed.elements():
                    if name.text() not in names:
                        yield name, f"{role[:-1]} {name.text()}"

    @property
    def entries(self) -> list[Pipeline]:
        """Pipelines that take telemetry of others: from Kafka, or over the network."""
        return [pipeline for pipeline in self.pipelines if self._outside(pipeline)]

    @property
    def carrying(self) -> list[Pipeline]:
        """Pipelines that telemetry of others passes through before its sender or Kafka hears that it was taken."""
        pipelines = self.entries
        while True:
            links = {name for pipeline in pipelines for name in pipeline.node["exporters"].texts() if _passes(name)}
            more = [
                pipeline
                for pipeline in self.pipelines
                if pipeline not in pipelines and links & set(pipeline.node["receivers"].texts())
            ]
            if not more:
                return pipelines
            pipelines = [*pipelines, *more]

    @property
    def delivering(self) -> list[Component]:
        """Exporters at the ends of the carrying pipelines; those behind a sampler of traces are not among them."""
        names: dict[str, None] = {}
        for pipeline in self.carrying:
            if not (pipeline.signal == "traces" and pipeline.sampling):
                names |= dict.fromkeys(pipeline.node["exporters"].texts())
        return [
            self.component("exporters", name)
            for name in names
            if self.node["exporters"][name].exists and name.split("/", 1)[0] not in WITHOUT_NETWORK | {"prometheus"}
        ]

    def signals(self, exporter: str) -> set[str]:
        """Signals that an exporter or receiver is used for."""
        return {
            pipeline.signal
            for pipeline in self.pipelines
            if exporter in pipeline.node["exporters"].texts() or exporter in pipeline.node["receivers"].texts()
        }

    def _outside(self, pipeline: Pipeline) -> bool:
        for name in pipeline.node["receivers"].texts():
            receiver = self.component("receivers", name)
            if receiver.type in KAFKA:
                return True
            protocols = [Serving(name, node) for _, node in receiver.node["protocols"].items()]
            if any(not protocol.loopback for protocol in protocols):
                return True
        return False


def _passes(connector: str) -> bool:
    return connector.split("/", 1)[0] in _PASSING


def collectors(resource: Resource) -> Iterator[Collector]:
    """Every collector (Jaeger is one) that a resource configures."""
    for document in documents(resource, Format.COLLECTOR, Format.JAEGER):
        yield Collector(document)
