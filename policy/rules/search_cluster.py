"""The search cluster (OpenSearch or Elasticsearch): TLS on both sides, users, own certificates, and copies.

Rules read effective settings: files, variables with dots, and ``-E`` arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policy.documents import files, flatten, parse
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._servers import Container, Mounted, Variables, containers, replicas
from policy.rules._values import FILES, each_known, finding, flag

_OPENSEARCH: Final = ("opensearch", "opensearch-docker-entrypoint.sh", "opensearch-tar-install.sh")
_ELASTIC: Final = ("elasticsearch",)
OPENSEARCH_SECURITY: Final = "plugins.security."
_HEADS: Final = (OPENSEARCH_SECURITY, "xpack.", "cluster.", "node.", "network.", "discovery.", "path.", "transport.")


@dataclass(frozen=True)
class Setting:
    """A setting and where it is written."""

    value: Any
    resource: Resource
    where: str

    @property
    def text(self) -> str:
        """The value as it would be written."""
        if isinstance(self.value, list):
            return ", ".join(map(str, self.value))
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)


@dataclass(frozen=True, eq=False)
class Search:
    """A search node with its settings."""

    container: Container
    mounted: Mounted
    variables: Variables
    given: Mapping[str, Setting]
    opensearch: bool

    def of(self, key: str) -> Setting | None:
        """A setting, or None when certainly nobody sets it."""
        setting = self.given.get(key)
        if setting is None:
            self.mounted.missing()
            self.variables.missing()
        return setting


def servers(resources: Sequence[Resource]) -> Iterator[Search]:
    """Every search node of a stack: by program or image, or by its security settings."""
    for resource in resources:
        for container in containers(resource):
            named = container.runs(*_OPENSEARCH, *_ELASTIC)
            mounted = container.mounted(resources)
            given: dict[str, Setting] = {}
            for file in mounted.files:
                if file.name.endswith((".yml", ".yaml")):
                    given |= dict(_file(file.resource, file.name, file.text))
            variables = container.variables(resources)
            for name, variable in variables.items():
                if "." in name or name == "DISABLE_SECURITY_PLUGIN":
                    given[name] = Setting(variable.value or "", resource, variable.where)
            for word in container.words:
                match = re.fullmatch(r"(?:-E\s*)?([a-z_]+(?:\.[\w-]+)+)=(.*)", word.text)
                if match:
                    given[match[1]] = Setting(match[2], resource, word.where)
            if named or any(key.startswith((OPENSEARCH_SECURITY, "xpack.security.")) for key in given):
                opensearch = container.runs(*_OPENSEARCH) or any(key.startswith(OPENSEARCH_SECURITY) for key in given)
                yield Search(container, mounted, variables, given, opensearch and not container.runs(*_ELASTIC))


def _file(resource: Resource, name: str, text: str) -> Iterator[tuple[str, Setting]]:
    content = parse("settings.yml", text)[1]
    settings = dict(flatten(content)) if isinstance(content, Mapping) else {}
    if any(key.startswith(_HEADS) for key in settings):
        for key, value in settings.items():
            yield key, Setting(value, resource, f"{name}: {key}")


_OS: Final = OPENSEARCH_SECURITY
_DEMO: Final = ("esnode", "kirk")


@dataclass(frozen=True)
class _Wish:
    """What a setting must be: ``true``, ``false``, ``set`` or one of the values; and whether absence is right."""

    keys: tuple[str, ...]
    wanted: str
    absent: bool
    problem: str

    def holds(self, setting: Setting | None) -> bool:
        if setting is None or setting.value is None:
            return self.absent
        if self.wanted in ("true", "false"):
            return setting.text.lower() == self.wanted
        if self.wanted == "set":
            return bool(setting.text)
        return setting.text in self.wanted.split(" or ")


_STORE: Final = "keystore_filepath"
_OS_TLS: Final = (
    _Wish((f"{_OS}disabled",), "false", True, "the security plugin is off"),
    _Wish(("DISABLE_SECURITY_PLUGIN",), "false", True, "the security plugin is off"),
    _Wish((f"{_OS}ssl_only",), "false", True, "the cluster asks nobody for a login"),
    _Wish((f"{_OS}ssl.http.enabled",), "true", False, "clients talk to the cluster in clear text"),
    _Wish((f"{_OS}ssl.http.pemcert_filepath", f"{_OS}ssl.http.{_STORE}"), "set", False, "HTTP has no certificate"),
    _Wish((f"{_OS}ssl.http.pemkey_filepath", f"{_OS}ssl.http.{_STORE}"), "set", False, "HTTP has no key"),
    _Wish((f"{_OS}ssl.transport.enabled",), "true", True, "nodes talk to each other in clear text"),
    _Wish(
        (f"{_OS}ssl.transport.pemcert_filepath", f"{_OS}ssl.transport.{_STORE}"),
        "set",
        False,
        "nodes have no certificate",
    ),
    _Wish((f"{_OS}ssl.transport.pemkey_filepath", f"{_OS}ssl.transport.{_STORE}"), "set", False, "nodes have no key"),
    _Wish(
        (f"{_OS}ssl.transport.pemtrustedcas_filepath", f"{_OS}ssl.transport.truststore_filepath"),
        "set",
        False,
        "nodes have no authority to check each other's certificate with",
    ),
    _Wish(
        (f"{_OS}ssl.transport.enforce_hostname_verification",),
        "true",
        True,
        "nodes do not check each other's host name",
    ),
    _Wish((f"{_OS}allow_unsafe_democertificates",), "false", True, "published demonstration certificates are taken"),
    _Wish((f"{_OS}authcz.admin_dn",), "set", False, "no certificate is named that administers security"),
    _Wish((f"{_OS}nodes_dn",), "set", False, "no certificates are named that nodes must have"),
)
_ES: Final = "xpack.security."
_ES_TLS: Final = (
    _Wish((f"{_ES}enabled",), "true", True, "security is off"),
    _Wish((f"{_ES}http.ssl.enabled",), "true", False, "clients talk to the cluster in clear text"),
    _Wish((f"{_ES}http.ssl.certificate", f"{_ES}http.ssl.keystore.path"), "set", False, "HTTP has no certificate"),
    _Wish((f"{_ES}http.ssl.key", f"{_ES}http.ssl.keystore.path"), "set", False, "HTTP has no key"),
    _Wish((f"{_ES}transport.ssl.enabled",), "true", False, "nodes talk to each other in clear text"),
    _Wish(
        (f"{_ES}transport.ssl.certificate", f"{_ES}transport.ssl.keystore.path"),
        "set",
        False,
        "nodes have no certificate",
    ),
    _Wish((f"{_ES}transport.ssl.key", f"{_ES}transport.ssl.keystore.path"), "set", False, "nodes have no key"),
    _Wish(
        (f"{_ES}transport.ssl.certificate_authorities", f"{_ES}transport.ssl.truststore.path"),
        "set",
        False,
        "nodes have no authority to check each other's certificate with",
    ),
    _Wish((f"{_ES}transport.ssl.verification_mode",), "full", True, "nodes do not check each other's host name"),
    _Wish((f"{_ES}transport.ssl.client_authentication",), "required", True, "nodes without a certificate are taken"),
)


def _security(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_security_of(server) for server in servers(resources))


def _security_of(server: Search) -> Iterator[Finding]:
    yield from _wishes(server, _OS_TLS if server.opensearch else _ES_TLS)


def _wishes(server: Search, wishes: Sequence[_Wish]) -> Iterator[Finding]:
    for wish in wishes:
        setting = next((server.given[key] for key in wish.keys if key in server.given), None)
        if setting is None and not wish.absent:
            setting = server.of(wish.keys[0])
        if not wish.holds(setting):
            yield finding(
                setting.resource if setting else server.container.resource,
                setting.where if setting else server.container.node.path,
                f"{wish.problem}: {wish.keys[0]} is {(setting.text or 'empty') if setting else 'not set'}",
                f"set {wish.keys[0]}" if wish.wanted == "set" else f"set {wish.keys[0]} to {wish.wanted}",
            )


_AUDIT: Final = f"{_OS}audit."
_AUDIT_WISHES: Final = (
    _Wish((f"{_AUDIT}type",), "log4j", False, "the audit log cannot read who is refused"),
    _Wish((f"{_AUDIT}config.enable_rest",), "true", True, "the audit log is told of no refused login"),
    _Wish((f"{_AUDIT}config.enable_transport",), "true", True, "the audit log is told of no privilege that is missing"),
    _Wish((f"{_AUDIT}config.log_request_body",), "false", False, "the log has data of requests"),
)
_TOLD: Final = ("BAD_HEADERS", "FAILED_LOGIN", "GRANTED_PRIVILEGES", "MISSING_PRIVILEGES")
_LAYERS: Final = tuple(f"{_AUDIT}config.disabled_{layer}_categories" for layer in ("rest", "transport"))
_IGNORED: Final = tuple(f"{_AUDIT}config.ignore_{what}" for what in ("users", "requests"))


def _audit(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_audit_of(server) for server in servers(resources) if server.opensearch)


def _audit_of(server: Search) -> Iterator[Finding]:
    yield from _wishes(server, _AUDIT_WISHES)
    for key in _LAYERS:
        setting = server.of(key)
        listed = _listed(setting)
        # Without the setting the server leaves out what is let in.
        missing = [name for name in _TOLD if name in listed] if setting else ["GRANTED_PRIVILEGES"]
        if missing:
            yield finding(
                setting.resource if setting else server.container.resource,
                setting.where if setting else server.container.node.path,
                f"the audit log is not told of {', '.join(missing)}: "
                f"{key} is {(setting.text or 'empty') if setting else 'not set'}",
                f"set {key} without them",
            )
    for key in _IGNORED:
        setting = server.given.get(key)
        if setting and _listed(setting):
            yield finding(
                setting.resource,
                setting.where,
                f"the audit log is not told what these are refused: {key} is {setting.text}",
                f"set {key} to an empty list",
            )


def _listed(setting: Setting | None) -> list[str]:
    if setting is None:
        return []
    names = setting.value if isinstance(setting.value, list) else setting.text.split(",")
    return [name for name in (str(name).strip() for name in names) if name not in ("", "NONE")]


def _own(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_own_of(server) for server in servers(resources))


def _own_of(server: Search) -> Iterator[Finding]:
    for key, setting in server.given.items():
        values = [str(role) for role in setting.value] if isinstance(setting.value, list) else [setting.text]
        for value in values:
            if key.startswith(_OS) and any(demo in value.lower() for demo in _DEMO):
                yield finding(
                    setting.resource,
                    setting.where,
                    f"{value} is of the published demonstration certificates",
                    "use certificates of the platform's CA",
                )
            elif key == f"{_OS}nodes_dn" and value.strip() in ("*", "CN=*"):
                yield finding(
                    setting.resource,
                    setting.where,
                    f"every certificate of the CA may join as a node: nodes_dn is {value}",
                    "name the nodes' own certificates",
                )
        if key.startswith(f"{_ES}authc.anonymous.") and setting.text:
            yield finding(
                setting.resource,
                setting.where,
                f"requests without a login are taken: {key} is {setting.text}",
                f"remove {key}",
            )


def _anonymous(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, text in files(resource):
        if not name.endswith((".yml", ".yaml")):
            continue
        node = Node(parse("config.yml", text)[1], f"{name}:")
        setting = node["config"]["dynamic"]["http"]["anonymous_auth_enabled"]
        if setting.exists and flag(setting) is not False:
            yield finding(
                resource,
                setting,
                f"requests without a login are taken: anonymous_auth_enabled is {setting.text().lower()}",
                "set anonymous_auth_enabled to false",
            )


def _nodes(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    found_servers = list(servers(resources))
    servers_by_workload = {id(server.container.resource): server for server in found_servers}
    count = sum(replicas(server.container.resource) for server in servers_by_workload.values())
    if found_servers and count < options["minimum"]:
        yield finding(
            found_servers[0].container.resource,
            "spec.replicas",
            f"the search cluster has {count} nodes, not {options['minimum']}",
            f"run {options['minimum']} nodes, so that it elects and answers while one is down",
        )
    for server in found_servers:
        single = server.given.get("discovery.type")
        if single and single.text == "single-node":
            yield finding(
                single.resource, single.where, "the node joins no cluster: discovery.type is single-node", "remove it"
            )


def _templates(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, text in files(resource):
        content = parse(name, text)[1] if name.endswith((".json", ".yml", ".yaml")) else None
        if not isinstance(content, Mapping) or "index_patterns" not in content:
            continue
        node = Node(content, f"{name}:")
        for settings in (node["settings"], node["template"]["settings"]):
            for key, value in flatten(settings.value or {}):
                if key.removeprefix("index.") == "number_of_replicas" and int(value) < options["replicas"]:
                    yield finding(
                        resource,
                        f"{settings.path}.{key}",
                        f"an index has {value} copies beside the first one, less than {options['replicas']}",
                        f"set number_of_replicas to {options['replicas']} or more",
                    )


RULES: tuple[Rule, ...] = (
    Rule(
        id="search-security",
        promise="The search cluster speaks verified TLS to clients and among its nodes, and security is on.",
        why="All traces and logs are in there, and a false node would get them.",
        sources=("J1", "J3"),
        stack=_security,
    ),
    Rule(
        id="search-audit",
        promise="OpenSearch logs refusals, and what people are let do, as the audit log reads them.",
        why="Who read traces and logs past Jaeger and Grafana, and who tried, is else told nowhere.",
        sources=("M1",),
        stack=_audit,
    ),
    Rule(
        id="search-own-certificates",
        promise="The search cluster trusts certificates of its own only, and takes nobody without a login.",
        why="The keys of the demonstration certificates are public: with them anybody administers the cluster.",
        sources=("J1", "J3"),
        stack=_own,
    ),
    Rule(
        id="search-anonymous",
        promise="The search cluster's security configuration takes nobody without a login.",
        why="All traces and logs would be open.",
        sources=("J3",),
        kinds=FILES,
        resource=_anonymous,
    ),
    Rule(
        id="search-nodes",
        promise="The search cluster has enough nodes to lose one.",
        why="With fewer, the loss of one stops reading and writing.",
        sources=("J1", "N-004"),
        options={
            "minimum": Option(
                default=3, schema={"type": "integer", "minimum": 1}, meaning="Nodes in a stack, at least."
            )
        },
        stack=_nodes,
    ),
    Rule(
        id="search-copies",
        promise="Every index has copies.",
        why="With a node its documents would be gone.",
        sources=("J1", "N-004"),
        options={"replicas": Option(default=1, schema={"type": "integer", "minimum": 1}, meaning="Copies, at least.")},
        kinds=FILES,
        resource=_templates,
    ),
)
