"""Which HTTP server lets which user in, from the files that the servers read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ops.permissions.model import HttpServer, HttpUser
from ops.permissions.stores import search_users
from policy.documents import Format, parse
from policy.model import Node, Resource
from policy.rules import _formats
from policy.rules._exposed import _WEB, port_of
from policy.rules._mounts import Mounted
from policy.rules._servers import Container, containers

SEARCH_PORT: Final = 9200
METRICS: Final = "/metrics"
_LOGIN_KEYS: Final = {"user", "password_file"}
_PARTS: Final = {
    "metrics": ("GET", METRICS),
    "prometheus": ("POST", "/raw/api/v2/alerts"),
    "alertmanager": ("POST", "/processed"),
}
"""Login in the settings of our own programs -> what it opens; any other opens the rest."""


def http_servers(resources: Sequence[Resource]) -> Iterator[HttpServer]:
    """Every server, or part of one, that asks for a user name and a password."""
    for workload in resources:
        for container in containers(workload):
            mounted = container.mounted(resources)
            for server in _of(container, mounted):
                if server.users:
                    yield server
    users = tuple(HttpUser(name=user.name, verifier=user.verifier) for user in search_users(resources))
    if users:
        yield HttpServer(workload="search", port=SEARCH_PORT, path="/", users=users)


def _of(container: Container, mounted: Mounted) -> Iterator[HttpServer]:
    yield from _toolkit(container, mounted)
    name = container.resource.object_name
    for file in mounted.files:
        kind, content = parse(file.name, file.text)
        if kind in (Format.COLLECTOR, Format.JAEGER):
            yield from _collector(name, Node(content), mounted)
        elif kind is Format.JMX_EXPORTER:
            yield from _jmx(container, file.path, content)
        elif isinstance(content, Mapping) and isinstance(content.get("listen"), str):
            yield from _service(container, file.path, content, mounted)
        elif file.name.endswith(".ini"):
            yield from _grafana(name, file.text, mounted)


def _toolkit(container: Container, mounted: Mounted) -> Iterator[HttpServer]:
    """Prometheus and everything that reads a web configuration of the exporter toolkit."""
    for programs, address, default, flag in _WEB:
        path = container.flag(flag)
        file = mounted.at(path.text) if path and container.runs(*programs) else None
        if file is None:
            continue
        given = container.flag(address)
        users = parse(file.name, file.text)[1].get("basic_auth_users") or {}
        yield HttpServer(
            workload=container.resource.object_name,
            port=port_of(given.text) if given else default,
            path="/",
            users=tuple(HttpUser(name=name, verifier=hashed) for name, hashed in sorted(users.items())),
        )


def _collector(workload: str, config: Node, mounted: Mounted) -> Iterator[HttpServer]:
    """Servers of a collector: every part with an address that names who checks its clients."""
    running = {*config.at("service.extensions").texts()}
    for node in config.walk():
        authenticator = node["auth"]["authenticator"].text() if isinstance(node.raw, Mapping) else ""
        if authenticator not in running or not node["endpoint"].text():
            continue
        extension = config["extensions"][authenticator]["htpasswd"]
        file = mounted.at(extension["file"].text() or extension.text())
        yield HttpServer(
            workload=workload,
            port=port_of(node["endpoint"].text()),
            path=METRICS if node.path.startswith("exporters.") else "/",
            users=tuple(htpasswd_users(file.text)) if file else (),
            grpc=node.path.endswith("grpc"),
        )


def htpasswd_users(text: str) -> Iterator[HttpUser]:
    """Users of an htpasswd file."""
    for line in text.splitlines():
        name, _, hashed = line.partition(":")
        yield HttpUser(name=name, verifier=hashed)


def _jmx(container: Container, path: str, content: Mapping[str, Any]) -> Iterator[HttpServer]:
    basic = content["httpServer"]["authentication"]["basic"]
    agents = [word.text for word in container.words if word.text.endswith(f":{path}")]
    for agent in agents:
        yield HttpServer(
            workload=container.resource.object_name,
            port=port_of(agent.removesuffix(f":{path}").replace("=", ":")),
            path=METRICS,
            users=(HttpUser(name=basic["username"], verifier=f"sha256:{basic['salt']}:{basic['passwordHash']}"),),
        )


def _service(container: Container, path: str, content: Mapping[str, Any], mounted: Mounted) -> Iterator[HttpServer]:
    """Our own programs: a login without an address is one that the program asks for."""
    if not any(path in word.text for word in container.words):
        return
    for part, login in content.items():
        if isinstance(login, Mapping) and login.keys() == _LOGIN_KEYS:
            file = mounted.at(str(login["password_file"]))
            method, opened = _PARTS.get(part, ("GET", "/"))
            yield HttpServer(
                workload=container.resource.object_name,
                port=port_of(str(content["listen"])),
                path=opened,
                users=(HttpUser(name=login["user"], verifier=f"plain:{file.text.strip()}"),) if file else (),
                method=method,
            )


def _grafana(workload: str, text: str, mounted: Mounted) -> Iterator[HttpServer]:
    """Metrics of Grafana; people sign in elsewhere."""
    ini = _formats.ini(text)
    metrics = ini.get("metrics", {})
    if name := metrics.get("basic_auth_username"):
        file = mounted.at(metrics["basic_auth_password"].removeprefix("$__file{").removesuffix("}"))
        yield HttpServer(
            workload=workload,
            port=int(ini.get("server", {}).get("http_port", "3000")),
            path=METRICS,
            users=(HttpUser(name=name, verifier=f"plain:{file.text.strip()}"),) if file else (),
        )
