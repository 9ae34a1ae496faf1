"""Configuration files inside ConfigMaps and Secrets, parsed into what the servers will read; and references of
container images, as pods name them.

Grafana's ini files are read as the library of Grafana reads them (go-ini): by lines, however far they are indented.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

import yaml

from policy.model import UNKNOWN, Node, Resource, UnknownValueError

INI_DEFAULT: Final = "default"
"""Section of the settings before the first one."""
_DELIMITERS: Final = "=:"
_COMMENT: Final = "#;"
_LONG: Final = ('"""', "`")
"""Quotes of values that may go over several lines."""


@functools.lru_cache(maxsize=64)
def ini(text: str) -> Mapping[str, Mapping[str, str]]:
    """Settings by section, with upper and lower case as they are written; the last of several counts."""
    content: dict[str, dict[str, str]] = {}
    section = INI_DEFAULT
    lines = iter(text.removeprefix("\ufeff").splitlines())
    for line in map(str.strip, lines):
        if not line or line[0] in _COMMENT:
            continue
        name, closed, _ = line[1:].rpartition("]")
        if line[0] == "[" and closed:
            section = name
            content.setdefault(section, {})
        elif setting := _setting(line):
            key, rest = setting
            content.setdefault(section, {})[key] = _value(rest, lines)
    return content


def _setting(line: str) -> tuple[str, str] | None:
    """Name of a setting, which may be quoted, and what is behind the delimiter."""
    quote = next((quote for quote in ('"""', '"', "`") if line.startswith(quote)), "")
    end = line.find(quote, len(quote)) if quote else 0
    delimiter = min((at for at in (line.find(sign, max(end, 0)) for sign in _DELIMITERS) if at >= 0), default=-1)
    if end < 0 or delimiter < 0:
        return None
    name = line[len(quote) : end] if quote else line[:delimiter]
    return name.strip(), line[delimiter + 1 :].strip()


def _value(text: str, lines: Iterator[str]) -> str:
    quote = next((quote for quote in _LONG if text.startswith(quote)), "")
    if quote:
        return _quoted(text[len(quote) :], quote, lines)
    if text.endswith("\\"):
        return _continued(text[:-1], lines)
    bare = text[: min((at for at in map(text.find, _COMMENT) if at >= 0), default=len(text))].strip()
    surrounded = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'" and bare.count(bare[0]) == len("''")
    return bare[1:-1] if surrounded else bare


def _quoted(text: str, quote: str, lines: Iterator[str]) -> str:
    """A value up to its last quote, in the same line or in a later one."""
    while quote not in text:
        following = next(lines, None)
        if following is None:
            return text
        text = f"{text}\n{following}"
    return text.rpartition(quote)[0]


def _continued(text: str, lines: Iterator[str]) -> str:
    """A value with the lines that continue it: each but the last ends with a backslash."""
    for line in map(str.strip, lines):
        text += line
        if not line or not text.endswith("\\"):
            break
        text = text[:-1]
    return text


class _YamlLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads what servers read: a tag that they do not know changes nothing for them."""


def _untagged(loader: Any, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_YamlLoader.add_constructor(None, _untagged)


class Format(StrEnum):
    """What a file configures, recognised by its content (its name may be anything)."""

    KAFKA_SERVER = "Kafka server properties"
    KAFKA_CLIENT = "Kafka client properties"
    COLLECTOR = "OpenTelemetry Collector"
    JAEGER = "Jaeger"
    PROMETHEUS = "Prometheus"
    WEB = "web TLS and users (exporter-toolkit)"
    ALERTMANAGER = "Alertmanager"
    GOSSIP = "Alertmanager gossip TLS"
    JMX_EXPORTER = "JMX exporter"
    THANOS_CLIENT = "Thanos endpoints"
    OBJECT_STORE = "object storage"
    GRAFANA = "Grafana ini"
    DATASOURCES = "Grafana data sources"
    SEARCH = "search cluster"
    RULES = "Prometheus rules"
    PROBER = "prober (blackbox_exporter)"
    OAUTH_PROXY = "oauth2-proxy"
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class Document:
    """A parsed file.

    Attributes:
        resource: ConfigMap or Secret that holds it.
        name: Key in the ConfigMap or Secret.
        format: What it configures.
        node: Its content; paths start with the file's name.
    """

    resource: Resource
    name: str
    format: Format
    node: Node


def files(resource: Resource) -> Iterator[tuple[str, str]]:
    """Name and text of every file in a ConfigMap or Secret.

    Raises:
        UnknownValueError: A file is not known yet; known ones come first.
    """
    if resource.kind not in ("ConfigMap", "Secret"):
        return
    unknown = ""
    for field in ("data", "stringData"):
        content = resource.props.get(field)
        if content is UNKNOWN:
            unknown = field
            continue
        for name, value in (content or {}).items():
            if value is UNKNOWN:
                unknown = f"{field}.{name}"
            elif isinstance(value, str):
                yield name, _decoded(value) if resource.kind == "Secret" and field == "data" else value
    if unknown:
        raise UnknownValueError(unknown)


def documents(resource: Resource, *formats: Format) -> Iterator[Document]:
    """Parsed files of some formats (of every format when none is named).

    Raises:
        UnknownValueError: A file is not known yet; known ones come first.
    """
    for name, text in files(resource):
        kind, content = parse(name, text)
        if not formats or kind in formats:
            yield Document(resource, name, kind, Node(content, f"{name}:"))


@functools.lru_cache(maxsize=512)
def parse(name: str, text: str) -> tuple[Format, Any]:
    """Parse a file and recognise what it configures, whatever its name ends with: servers do not look at that.

    What cannot be parsed is ``OTHER`` with its text.
    """
    try:
        loaded = _loaded(text)
    except (ValueError, yaml.YAMLError):
        loaded = text
    kind = _format(name, loaded)
    if kind is not Format.OTHER:
        return kind, dict(flatten(loaded)) if kind is Format.SEARCH else loaded
    if name.endswith((".properties", ".config", ".conf")):
        content = properties(text)
        return _properties_format(content), content
    if name.endswith(".ini"):
        return Format.GRAFANA, ini(text)
    return Format.OTHER, loaded if name.endswith(STRUCTURED) else text


STRUCTURED: Final = (".yml", ".yaml", ".json")
"""Endings of files that are always read as YAML or JSON."""


def _loaded(text: str) -> Any:
    """JSON or YAML, of several documents the first one, which is the one that servers read.

    Most JSON is YAML too, and its own reader is far quicker.
    """
    if text.startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError:
            pass
    loader = _YamlLoader(text)
    try:
        return loader.get_data() if loader.check_data() else None
    finally:
        loader.dispose()


_KEY = re.compile(r"((?:\\.|[^\\=:\s])*)\s*[=:]?\s*(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def properties(text: str) -> dict[str, str]:
    """Java properties: comments, all three separators (``=``, ``:``, blanks), escapes and continued lines."""
    result: dict[str, str] = {}
    for line in _logical_lines(text):
        if match := _KEY.fullmatch(line):
            result[_unescaped(match[1])] = _unescaped(match[2]).strip()
    return result


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with what continues them; a comment is never continued."""
    pending = ""
    for line in re.split(r"\r\n|\n|\r", text):
        stripped = line.lstrip(" \t\f")
        if not pending and (not stripped or stripped[0] in "#!"):
            continue
        pending += stripped
        if (len(pending) - len(pending.rstrip("\\"))) % 2:
            pending = pending[:-1]
            continue
        if pending:
            yield pending
        pending = ""
    if pending:
        yield pending


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(
        lambda escape: chr(int(escape[1], 16)) if escape[1] else _ESCAPED.get(escape[2], escape[2]), text
    )


def _properties_format(content: Mapping[str, str]) -> Format:
    if "process.roles" in content or "listeners" in content or "listener.security.protocol.map" in content:
        return Format.KAFKA_SERVER
    if any(key.endswith(("bootstrap.servers", "security.protocol")) for key in content):
        return Format.KAFKA_CLIENT
    return Format.OTHER


_MARKS: tuple[tuple[Format, frozenset[str]], ...] = (
    (Format.JAEGER, frozenset({"service", "extensions", "receivers"})),
    (Format.COLLECTOR, frozenset({"service", "receivers"})),
    (Format.COLLECTOR, frozenset({"service", "exporters"})),
    (Format.PROMETHEUS, frozenset({"scrape_configs"})),
    (Format.ALERTMANAGER, frozenset({"route", "receivers"})),
    (Format.GOSSIP, frozenset({"tls_server_config", "tls_client_config"})),
    (Format.WEB, frozenset({"tls_server_config"})),
    (Format.WEB, frozenset({"basic_auth_users"})),
    (Format.DATASOURCES, frozenset({"datasources"})),
    (Format.SEARCH, frozenset({"cluster.name"})),
    (Format.OBJECT_STORE, frozenset({"type", "config"})),
    (Format.OAUTH_PROXY, frozenset({"upstreamConfig"})),
    (Format.OAUTH_PROXY, frozenset({"injectRequestHeaders"})),
    (Format.JMX_EXPORTER, frozenset({"httpServer"})),
    (Format.JMX_EXPORTER, frozenset({"lowercaseOutputName"})),
)


def _format(name: str, content: Any) -> Format:
    if isinstance(content, list):
        return _list_format(content)
    if not isinstance(content, Mapping):
        return Format.OTHER
    if posixpath.basename(name) in _OF_SEARCH:
        return Format.SEARCH
    keys = set(content)
    for kind, marks in _MARKS:
        if marks <= keys and (kind is not Format.JAEGER or "jaeger_storage" in (content.get("extensions") or {})):
            return kind
    cluster = content.get("cluster")
    if isinstance(cluster, Mapping) and "name" in cluster:
        return Format.SEARCH
    if _alerting(content.get("groups")):
        return Format.RULES
    if _probing(content.get("modules")):
        return Format.PROBER
    if "endpoints" in keys:
        return Format.THANOS_CLIENT
    return Format.OTHER


_OF_SEARCH: Final = ("elasticsearch.yml", "opensearch.yml")
"""The names under which search nodes read their settings."""


def flatten(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted keys; lists stay whole."""
    if isinstance(content, Mapping) and content:
        for key, value in content.items():
            yield from flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, content


def _alerting(groups: Any) -> bool:
    """Whether these are groups of rules; names of consumer groups are not."""
    return isinstance(groups, list) and all(isinstance(group, Mapping) for group in groups)


def _probing(modules: Any) -> bool:
    """Whether these are ways of probing, which each name their kind."""
    return (
        isinstance(modules, Mapping)
        and bool(modules)
        and all(isinstance(module, Mapping) and "prober" in module for module in modules.values())
    )


def _list_format(content: list[Any]) -> Format:
    first = content[0] if content and isinstance(content[0], Mapping) else {}
    return Format.THANOS_CLIENT if "grpc_config" in first else Format.OTHER


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return value


@dataclass(frozen=True)
class Image:
    """The parts of an image reference; tag and digest are empty where it has none."""

    name: str
    tag: str
    digest: str

    @classmethod
    def of(cls, reference: str) -> Self:
        """Take a reference apart: ``registry:5000/path/name:tag@sha256:...``."""
        rest, _, digest = reference.partition("@")
        head, slash, last = rest.rpartition("/")
        name, _, tag = last.partition(":")
        return cls(f"{head}{slash}{name}", tag, digest)
