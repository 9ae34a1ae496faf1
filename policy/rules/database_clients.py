"""Clients of PostgreSQL: they verify the server's certificate and name, however their connection is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.documents import Format, documents, files
from policy.model import Finding, Options, Resource, Rule
from policy.rules import _formats
from policy.rules._mounts import Word
from policy.rules._servers import WORKLOADS, Container, all_containers
from policy.rules._values import each_known, finding

_FILES = frozenset({"ConfigMap", "Secret"})
_FIX = "set sslmode=verify-full and sslrootcert to the platform's CA"


def problem(login: _formats.Login) -> str:
    """What is wrong with a connection, or empty."""
    if login.host.startswith("/"):
        return ""
    if login.sslmode != "verify-full":
        return f"PostgreSQL's identity is not verified: sslmode is {login.sslmode or 'not set'}"
    return "" if login.sslrootcert else "no authority is named that PostgreSQL is verified by: sslrootcert is not set"


def _files(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, text in files(resource):
        connections = list(_formats.connections(text))
        whole = _formats.connection(text) if not connections and "\n" not in text.strip() else None
        for place, login in [*connections, *([("line 1", whole)] if whole else [])]:
            wrong = problem(login)
            if wrong:
                yield finding(resource, f"{name}: {place}", wrong, _FIX)
            if login.password and not login.password.startswith("$") and resource.kind == "ConfigMap":
                yield finding(
                    resource,
                    f"{name}: {place}",
                    "a connection with its password is written into a ConfigMap",
                    "put it into a Secret",
                )


def _command(resource: Resource, options: Options) -> Iterator[Finding]:
    for container in all_containers(resource):
        words = [*container.words]
        words += [
            Word(e["value"].text(), e["value"].path)
            for e in container.node["env"].elements()
            if not e["valueFrom"].exists
        ]
        for word in words:
            login = _formats.connection(word.text.partition("=")[2] if word.text.startswith("--") else word.text)
            if login is None:
                continue
            wrong = problem(login)
            if wrong:
                yield finding(resource, word.where, wrong, _FIX)
            if login.password and not login.password.startswith("$"):
                yield finding(
                    resource,
                    word.where,
                    "the password of a connection is written into the workload",
                    "take the connection from a Secret",
                )


def _environment(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(
        _libpq(container, resources) for resource in resources for container in all_containers(resource)
    )


def _libpq(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    variables = container.variables(stack)
    host = variables.get("PGHOST")
    if host is None or (host.value or "").startswith("/"):
        return
    for name, wanted in (("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", "")):
        variable = variables.get(name)
        value = (variable.value or "") if variable else ""
        if variable is None:
            variables.missing()
        if (wanted and value != wanted) or not value:
            yield finding(
                container.resource,
                variable.where if variable else host.where,
                f"PostgreSQL's identity is not verified: {name} is {value or 'not set'} beside PGHOST",
                f"set {name} to {wanted or 'the file of the platform CA'}",
            )


def _sources(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.DATASOURCES):
        for node in document.node["datasources"].elements():
            if node["type"].text() not in ("postgres", "grafana-postgresql-datasource"):
                continue
            data = node["jsonData"]
            login = _formats.Login(
                node["url"].text(),
                data["sslmode"].text(),
                data["sslRootCertFile"].text() or node["secureJsonData"]["tlsCACert"].text(),
                "",
            )
            wrong = problem(login)
            if wrong:
                yield finding(
                    resource,
                    data["sslmode"] if login.sslmode != "verify-full" else data["sslRootCertFile"],
                    wrong.replace("sslrootcert", "sslRootCertFile"),
                    "set sslmode to verify-full and sslRootCertFile to the platform's CA",
                )


RULES: tuple[Rule, ...] = (
    Rule(
        id="postgres-client-files",
        promise="Connections to PostgreSQL in files verify the server's certificate and name.",
        why="A false server would get the password and everything that is written.",
        sources=("G1",),
        kinds=_FILES,
        resource=_files,
    ),
    Rule(
        id="postgres-client-workload",
        promise="Connections to PostgreSQL in arguments and variables verify the server, and carry no password.",
        why="A false server would get the password; a password in a workload is read by everybody who may list pods.",
        sources=("G1",),
        kinds=WORKLOADS,
        resource=_command,
    ),
    Rule(
        id="postgres-client-environment",
        promise="Programs that use libpq's variables verify the server's certificate and name.",
        why="libpq asks for neither unless it is told to.",
        sources=("G1",),
        stack=_environment,
    ),
    Rule(
        id="postgres-client-datasource",
        promise="Grafana's PostgreSQL data sources verify the server's certificate and name.",
        why="A false server would get the password and could show false figures.",
        sources=("G1",),
        kinds=_FILES,
        resource=_sources,
    ),
)
