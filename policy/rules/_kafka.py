"""Kafka's files and resources as rules see them: nodes, listeners, clients."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from policy.documents import Document, Format, documents
from policy.model import Node, Resource
from policy.rules._values import host_of

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


class Server:
    """One ``server.properties``."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.resource = document.resource
        self.node = document.node

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
