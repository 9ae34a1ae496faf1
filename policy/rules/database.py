"""PostgreSQL: servers that take encrypted logins with SCRAM only and lose nothing that they confirmed, and its clients.

Clients verify the server's certificate and name, however their connection is written.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policy.documents import Format, documents, files
from policy.model import Finding, Options, Resource, Rule
from policy.rules import _values
from policy.rules._kubernetes import WORKLOADS
from policy.rules._servers import Container, File, Mounted, Word, all_containers, containers
from policy.rules._values import FILES, each_known, finding, true

_NAMES = ("postgres", "postgresql")
_STRONG = ("scram-sha-256", "cert")
_LOCAL = (*_STRONG, "peer")


@dataclass(frozen=True)
class _Setting:
    value: str
    resource: Resource
    where: str


def _servers(resources: Sequence[Resource]) -> Iterator[Container]:
    for resource in resources:
        for container in containers(resource):
            program = container.programs[0] if container.programs else ""
            if container.runs(*_NAMES) and not program.startswith(("pg_", "psql")):
                yield container


def _arguments(container: Container) -> dict[str, _Setting]:
    settings: dict[str, _Setting] = {}
    previous = ""
    for word in container.words:
        text = word.text if previous == "-c" else word.text[2:] if word.text.startswith(("--", "-c")) else ""
        name, separator, value = text.partition("=")
        if separator and name:
            settings[name.strip().replace("-", "_")] = _Setting(value.strip("'\""), container.resource, word.where)
        previous = word.text
    return settings


def _server_files(container: Container, mounted: Mounted, stack: Sequence[Resource], key: str, name: str) -> list[File]:
    """The files that the server reads: the named one, else the one in its data; any one behind a script of ours."""
    if container.scripted:
        return [file for file in mounted.files if file.name.endswith(".conf")]
    named = _settings(container, mounted, stack).get(key) if key == "hba_file" else _arguments(container).get(key)
    data = container.variables(stack).get("PGDATA")
    folder = (data.value if data else None) or "/var/lib/postgresql/data"
    file = mounted.at(named.value if named else posixpath.join(folder, name))
    return [file] if file else []


def _settings(container: Container, mounted: Mounted, stack: Sequence[Resource]) -> dict[str, _Setting]:
    settings: dict[str, _Setting] = {}
    for file in _server_files(container, mounted, stack, "config_file", "postgresql.conf"):
        for name, value in _values.postgres(file.text).items() if _values.is_postgres(file.text) else ():
            settings[name] = _Setting(value, file.resource, f"{file.name}: {name}")
    return settings | _arguments(container)


def _server(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_server_of(container, resources) for container in _servers(resources))


_OFF: Final[Mapping[str, tuple[str, str]]] = {
    "fsync": ("confirmed data may be lost", "after a crash the database may be beyond repair"),
    "full_page_writes": ("pages may be torn", "a crash in the middle of a page destroys it"),
    "synchronous_commit": ("commits are confirmed before they are on disk", "the last ones are lost with the machine"),
}


def _server_of(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    mounted = container.mounted(stack)
    settings = _settings(container, mounted, stack)
    for name, (problem, result) in _OFF.items():
        setting = settings.get(name)
        if setting and setting.value.lower() in ("off", "false", "no", "0"):
            yield finding(
                setting.resource,
                setting.where,
                f"{problem}: {name} is {setting.value}, so {result}",
                f"set {name} to on",
            )
    encryption = settings.get("password_encryption")
    if encryption and encryption.value != "scram-sha-256":
        yield finding(
            encryption.resource,
            encryption.where,
            f"new passwords are stored as {encryption.value}",
            "set password_encryption to scram-sha-256",
        )
    oldest = settings.get("ssl_min_protocol_version")
    if oldest and oldest.value not in ("TLSv1.2", "TLSv1.3"):
        yield finding(
            oldest.resource,
            oldest.where,
            f"broken TLS is taken: ssl_min_protocol_version is {oldest.value or 'empty'}",
            "set ssl_min_protocol_version to TLSv1.2",
        )
    ssl = settings.get("ssl")
    if ssl and not true(ssl.value):
        yield finding(ssl.resource, ssl.where, f"PostgreSQL speaks clear text: ssl is {ssl.value}", "set ssl to on")
    if ssl is None:
        mounted.missing()
        yield finding(
            container.resource,
            container.node.path,
            "PostgreSQL speaks clear text: ssl is set in no mounted file and by no argument, and off by default",
            "set ssl to on, with ssl_cert_file and ssl_key_file",
        )
        return
    for name in ("ssl_cert_file", "ssl_key_file"):
        if name not in settings or not settings[name].value:
            mounted.missing()
            yield finding(
                ssl.resource, ssl.where, f"ssl has no certificate of the platform: {name} is not set", f"set {name}"
            )


_LOGGED: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    # What it must be, and what is wrong else.
    "log_connections": (("on",), "the audit log is told of no login"),
    "log_statement": (("ddl",), "the log has no change of roles and rights, or data of statements too"),
    "log_destination": (("stderr",), "the audit log cannot read the log"),
    "logging_collector": (("off",), "the audit log cannot read the log, which is in a file"),
}
_PREFIX: Final = "%m [%p] %c %s %e client=%h user=%u db=%d "


def _log(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_log_of(container, resources) for container in _servers(resources))


def _log_of(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    mounted = container.mounted(stack)
    settings = _settings(container, mounted, stack)
    wanted = {**{name: values for name, (values, _) in _LOGGED.items()}, "log_line_prefix": (_PREFIX,)}
    for name, values in wanted.items():
        setting = settings.get(name)
        if setting and setting.value in values:
            continue
        if setting is None:
            mounted.missing()
        problem = _LOGGED[name][1] if name in _LOGGED else "the audit log cannot read the log, or clients can forge it"
        yield finding(
            setting.resource if setting else container.resource,
            setting.where if setting else container.node.path,
            f"{problem}: {name} is {setting.value if setting else 'not set'}",
            f"set {name} to {values[0]}",
        )


def _access(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_access_of(container, resources) for container in _servers(resources))


def _access_of(container: Container, stack: Sequence[Resource]) -> Iterator[Finding]:
    mounted = container.mounted(stack)
    files = _server_files(container, mounted, stack, "hba_file", "pg_hba.conf")
    hba = [file for file in files if _values.is_hba(file.text)]
    if not hba:
        mounted.missing()
        yield finding(
            container.resource,
            container.node.path,
            "PostgreSQL runs without a pg_hba.conf of ours; its own one takes logins without TLS",
            "mount a pg_hba.conf with hostssl lines and scram-sha-256 only, and point hba_file to it",
        )
    for file in hba:
        yield from _lines(file)


def _lines(file: File) -> Iterator[Finding]:
    for line in _values.hba(file.text):
        where = f"{file.name}: line {line.number}"
        if line.type in ("include", "include_dir", "include_if_exists"):
            yield finding(
                file.resource, where, f"other lines come from elsewhere: {line.text}", "write the lines into this file"
            )
        elif line.method == "reject":
            continue
        elif line.type not in ("local", "hostssl"):
            yield finding(
                file.resource,
                where,
                f"a login without TLS is possible: {line.text}",
                "write hostssl instead of " + line.type,
            )
        if line.method not in (*(_LOCAL if line.type == "local" else _STRONG), "reject") and line.method:
            yield finding(
                file.resource, where, f"{line.method} proves nobody's identity safely: {line.text}", "use scram-sha-256"
            )


_FIX = "set sslmode=verify-full and sslrootcert to the platform's CA"


def problem(login: _values.Login) -> str:
    """What is wrong with a connection, or empty."""
    if login.host.startswith("/"):
        return ""
    if login.sslmode != "verify-full":
        return f"PostgreSQL's identity is not verified: sslmode is {login.sslmode or 'not set'}"
    return "" if login.sslrootcert else "no authority is named that PostgreSQL is verified by: sslrootcert is not set"


def _files(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, text in files(resource):
        connections = list(_values.connections(text))
        whole = _values.connection(text) if not connections and "\n" not in text.strip() else None
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
            login = _values.connection(word.text.partition("=")[2] if word.text.startswith("--") else word.text)
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
            login = _values.Login(
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
        id="postgres-server",
        promise="PostgreSQL speaks TLS, stores SCRAM passwords and writes before it confirms.",
        why="Sessions, users and dashboards of everybody are in there.",
        sources=("G1",),
        stack=_server,
    ),
    Rule(
        id="postgres-audit",
        promise="PostgreSQL logs logins and changes of rights as the audit log reads them.",
        why="Who came, who was refused and who changed rights is else told nowhere.",
        sources=("M1",),
        stack=_log,
    ),
    Rule(
        id="postgres-access",
        promise="PostgreSQL takes logins over TLS only, proven by SCRAM or a certificate.",
        why="With trust, md5 or clear text, whoever is in the network is in the database.",
        sources=("G1",),
        stack=_access,
    ),
    Rule(
        id="postgres-client-files",
        promise="Connections to PostgreSQL in files verify the server's certificate and name.",
        why="A false server would get the password and everything that is written.",
        sources=("G1",),
        kinds=FILES,
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
        kinds=FILES,
        resource=_sources,
    ),
)
