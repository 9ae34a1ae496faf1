"""A collector's configuration as rules see it: components, servers, and the pipelines that carry others' telemetry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from policy.documents import Document, Format, documents
from policy.model import Node, Resource
from policy.rules._values import loopback

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


class Collector:
    """One configuration file of a collector."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.resource = document.resource
        self.node = document.node

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
