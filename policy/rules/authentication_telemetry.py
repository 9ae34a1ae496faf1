"""Who may send telemetry and who may read metrics (requirements K5, O1, P2).

Senders and scrapers of a collector and its logins elsewhere; passwords of the Prometheus family, of JVMs and of
services.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.documents import Format, documents, files
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._dataplane import (
    BUCKETS,
    GATE,
    LOGIN,
    SCRAM,
    URLS,
    Collector,
    Component,
    Pipeline,
    Serving,
    collectors,
)
from policy.rules._kubernetes import WORKLOADS, processes
from policy.rules._values import FILES, finding, loopback, number, shown
from policy.rules.tls_processes import http_clients, scrape_jobs

MOST_CONNECTIONS = 65_536
"""Above it, their buffers alone take 8 GiB."""
MOST_A_SECOND = {"items": 10_000_000, "bytes": 100_000_000_000}
"""No gateway works on more; a rate above it bounds nothing."""
_SIGNALS = ("metrics", "traces", "logs")


def _server_authentication(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for server in (*collector.receiving(), *collector.exposing()):
            if not server.loopback:
                yield from _asks(collector, server)


def _asks(collector: Collector, server: Serving) -> Iterator[Finding]:
    where = server.node.at("auth.authenticator")
    if not where.text():
        if not server.node.at("tls.client_ca_file").text():
            problem = f"{server.what} lets anybody in: it asks for neither password nor certificate"
            yield finding(
                collector.resource, where, problem, "set auth.authenticator to an extension that checks users"
            )
        return
    extension = collector.component("extensions", where.text())
    if not extension.node.exists or extension.name not in collector.extensions:
        problem = f"{server.what} is checked by {where.text()}, which does not run"
        yield finding(collector.resource, where, problem, "define the extension and list it in service.extensions")
    elif extension.type == "basicauth" and not _users(extension):
        problem = f"{server.what} is checked by {where.text()}, which has no list of users"
        yield finding(collector.resource, extension.node["htpasswd"], problem, "set htpasswd.file")
    elif extension.type == LOGIN and not extension.node["htpasswd"].text():
        problem = f"{server.what} is checked by {where.text()}, which has no list of users"
        yield finding(collector.resource, extension.node["htpasswd"], problem, "set htpasswd")
    elif extension.type == LOGIN:
        middlewares = server.node["middlewares"]
        if where.text() not in [middleware["id"].text() for middleware in middlewares.elements()]:
            problem = f"{server.what} reads a message before {where.text()} has seen who sends it, and what it is"
            yield finding(collector.resource, middlewares, problem, f"add {where.text()} to middlewares")


def _connections(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for server in collector.receiving():
            login = collector.component("extensions", server.node.at("auth.authenticator").text())
            if server.what.endswith("(grpc)") and not server.loopback and login.type == LOGIN:
                yield from _bounds(collector, server, login)


def _bounds(collector: Collector, server: Serving, login: Component) -> Iterator[Finding]:
    if login.node["tls"].value != server.node["tls"].value:
        problem = f"{login} makes the handshakes of {server.what} with other settings of TLS than this has"
        if not login.node["tls"].exists:
            problem = f"{server.what} takes any number of connections: {login} does not make its handshakes"
        yield finding(collector.resource, login.node["tls"], problem, "set tls to what the port has")
    for key in ("max_connections", "max_connections_per_address"):
        most = number(login.node[key])
        if most is None or not 1 <= most <= MOST_CONNECTIONS:
            problem = f"the connections of {server.what} are not bounded: {key} {shown(login.node[key])}"
            yield finding(collector.resource, login.node[key], problem, f"set {key} to 1 to {MOST_CONNECTIONS}")


def _shares(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        names = {server.node.at("auth.authenticator").text() for server in collector.receiving() if not server.loopback}
        for name in sorted(names):
            login = collector.component("extensions", name)
            if login.type == LOGIN and login.node.exists:
                yield from _divided(collector, login)


def _divided(collector: Collector, login: Component) -> Iterator[Finding]:
    resource, clients = collector.resource, login.node["clients"]
    if not list(clients.items()):
        problem = f"one sender can take all that {login} lets in: clients {shown(clients)}"
        yield finding(resource, clients, problem, "give every user a share, and rates of each signal")
        return
    for user, client in clients.items():
        share = number(client["share"])
        if share is None or not 0 < share <= 1:
            problem = f"what {user} has for itself is not bounded: share {shown(client['share'])}"
            yield finding(resource, client["share"], problem, "set share above 0, all together at most 1")
        for signal in _SIGNALS:
            for what, most in MOST_A_SECOND.items():
                rate = client.at(f"rates.{signal}.{what}")
                if not 0 < (number(rate) or 0) <= most:
                    problem = f"{user} may send any number of {what} of {signal}: {what} {shown(rate)}"
                    yield finding(resource, rate, problem, f"set {what} to what the layer may send in a second")
    together = sum(number(client["share"]) or 0 for _, client in clients.items())
    if together > 1:
        problem = f"shares of {login} are {together:g} together, so that they are promised twice"
        yield finding(resource, clients, problem, "set shares that are at most 1 together")
    for exporter in collector.components("exporters", BUCKETS):
        for signal in collector.signals(exporter.name):
            waiting, size = login.node["queues"][signal], exporter.node.at("sending_queue.queue_size")
            if size.exists and (number(waiting) or 0) > (number(size) or 0):
                problem = f"senders may have more {signal} waiting than {exporter} holds: queues.{signal} "
                problem += shown(waiting)
                yield finding(resource, waiting, problem, "set it to queue_size of the exporter's sending_queue")


def _users(extension: Component) -> bool:
    return any(extension.node["htpasswd"][key].text() for key in ("file", "inline"))


def _exporter_login(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for exporter in collector.sending():
            addresses = [exporter.node[key].text() for key in URLS] + exporter.node["endpoints"].texts()
            if all(loopback(address) for address in addresses if address):
                continue
            yield from _logs_in(collector, exporter)


def _logs_in(collector: Collector, exporter: Component) -> Iterator[Finding]:
    where = exporter.node.at("auth.authenticator")
    if not where.text():
        certificate = exporter.node["tls"]
        if (
            not (certificate["cert_file"].text() and certificate["key_file"].text())
            and not exporter.node["user"].text()
        ):
            problem = f"{exporter} does not log in: it has neither password nor certificate"
            yield finding(
                collector.resource, where, problem, "set auth.authenticator to an extension with the password"
            )
        return
    extension = collector.component("extensions", where.text())
    if not extension.node.exists or extension.name not in collector.extensions:
        problem = f"{exporter} logs in by {where.text()}, which does not run"
        yield finding(collector.resource, where, problem, "define the extension and list it in service.extensions")
    elif extension.type == "basicauth":
        login = extension.node["client_auth"]
        for names in (("username", "username_file"), ("password_file", "password")):
            if not any(login[name].text() for name in names):
                problem = f"{exporter} logs in by {extension.name}, which has no {names[0]}"
                yield finding(collector.resource, login[names[0]], problem, f"set client_auth.{names[0]}")


def _kafka_login(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for component in collector.kafka():
            if component.type == BUCKETS:
                yield from _named(resource, component, "auth")
                continue
            sasl = component.node.at("auth.sasl")
            if sasl["mechanism"].text() != SCRAM:
                problem = f"{component} does not log in by {SCRAM}: mechanism {shown(sasl['mechanism'])}"
                yield finding(resource, sasl["mechanism"], problem, f"set auth.sasl.mechanism to {SCRAM}")
            yield from _named(resource, component, "auth.sasl")


def _named(resource: Resource, component: Component, path: str) -> Iterator[Finding]:
    """Whether a client of Kafka says who it is."""
    login = component.node.at(path)
    for key in ("username", "password"):
        if not login[key].text():
            problem = f"{component} has no {key}: it {shown(login[key])}"
            yield finding(resource, login[key], problem, f"set {path}.{key}")


def _sender(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for pipeline in collector.entries:
            if any(_passwords(collector, name) for name in pipeline.node["receivers"].texts()):
                yield from _checks_sender(collector, pipeline)


def _passwords(collector: Collector, receiver: str) -> bool:
    """Whether a receiver knows its senders by user names."""
    protocols = [node for _, node in collector.node["receivers"][receiver]["protocols"].items()]
    return any(node.at("auth.authenticator").text().split("/", 1)[0] in ("basicauth", LOGIN) for node in protocols)


def _checks_sender(collector: Collector, pipeline: Pipeline) -> Iterator[Finding]:
    """The user who logged in must be compared: by the gate, by an agent's attribution, or by a filter."""
    where, names = pipeline.node["processors"], pipeline.node["processors"].texts()
    if pipeline.has(GATE, "attribution"):
        return
    written = ""
    for name in names:
        processor = collector.component("processors", name)
        for action in processor.node["attributes"].elements():
            if action["from_context"].text() == "auth.username" and action["action"].text() == "upsert":
                written = action["key"].text()
        conditions = processor.node[f"{pipeline.signal.removesuffix('s')}_conditions"]
        if written and processor.type == "filter" and any(written in node.text() for node in conditions.walk()):
            return
    problem = f"pipeline {pipeline.name} takes telemetry in the name of others: "
    problem += f"no filter compares {written}" if written else "no processor writes down who logged in"
    fix = (
        "add the gate (of an agent: attribution), or upsert an attribute from_context auth.username and drop by a "
        "filter what names another"
    )
    yield finding(collector.resource, where, problem, fix)


_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_HASHES = re.compile(r"SHA-256|SHA-512|PBKDF2WithHmac(SHA256|SHA512)")
_ACCOUNTS = ("users", "users_file", "accounts_file", "htpasswd_file")
"""Where a service that people sign in to keeps its users."""
_COST = {
    "min_bcrypt_cost": Option(
        default=4,
        schema={"type": "integer", "minimum": 4, "maximum": 31},
        meaning="Least cost of a bcrypt hash. Cost slows the guessing of weak passwords; the platform's are 32 random "
        "characters, and collectors hash at every request.",
    )
}


def _scrape_login(resource: Resource, options: Options) -> Iterator[Finding]:
    seen: dict[tuple[str, str], str] = {}
    for name, job in scrape_jobs(resource):
        yield from _has_password(resource, job, f"job {name}")
        for key in ("username", "password_file"):
            where = job["basic_auth"][key]
            first = seen.setdefault((key, where.text()), name)
            if where.text() and first != name:
                problem = f"job {name} logs in with the {key} of job {first}: {where.text()}"
                yield finding(resource, where, problem, "give each job a user of its own")


def _client_file_login(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in http_clients(resource):
        yield from _has_password(resource, document.node, "the helper")


def _has_password(resource: Resource, client: Node, what: str) -> Iterator[Finding]:
    token = any(client["authorization"][key].text() for key in ("credentials_file", "credentials"))
    certificate = client["tls_config"]["cert_file"].text() and client["tls_config"]["key_file"].text()
    if token or certificate or client["oauth2"].exists:
        return
    basic = client["basic_auth"]
    for names in (("username", "username_file"), ("password_file", "password")):
        if not any(basic[name].text() for name in names):
            where = basic[names[0]]
            problem = f"{what} does not log in: {names[0]} {shown(where)}"
            yield finding(resource, where, problem, f"set basic_auth.{names[0]}")


def _web_users(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.WEB):
        users, tls = document.node["basic_auth_users"], document.node["tls_server_config"]
        if not users.value:
            verified = tls["client_auth_type"].text() == "RequireAndVerifyClientCert" and tls["client_ca_file"].text()
            if not verified:
                problem = "the web API lets anybody in: it has no users"
                yield finding(resource, users, problem, "add basic_auth_users with a bcrypt hash for each user")
        for name, where in users.items():
            yield from _hash(resource, where, name, where.text(), options)


def _hash(resource: Resource, where: Node | str, name: str, value: str, options: Options) -> Iterator[Finding]:
    match, least = _BCRYPT.fullmatch(value), int(options["min_bcrypt_cost"])
    if match is None:
        yield finding(
            resource, where, f"what is kept of the password of {name} is no bcrypt hash", "keep its bcrypt hash"
        )
    elif int(match.group(1)) < least:
        problem = f"the hash of the password of {name} has cost {int(match.group(1))}, less than {least}"
        yield finding(resource, where, problem, f"hash it with cost {least} or more")


def _password_files(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, text in files(resource):
        if not name.endswith("htpasswd"):
            continue
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            yield finding(
                resource, name, "the password file has no users", "add a line user:<bcrypt hash> for each user"
            )
        for line in lines:
            user, _, value = line.partition(":")
            yield from _hash(resource, name, user, value, options)


def _jmx_login(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.JMX_EXPORTER):
        basic = document.node["httpServer"]["authentication"]["basic"]
        for key in ("username", "passwordHash", "salt"):
            if not basic[key].text():
                problem = f"the metrics agent lets anybody in: {key} {shown(basic[key])}"
                yield finding(resource, basic[key], problem, f"set httpServer.authentication.basic.{key}")
        if not _HASHES.fullmatch(basic["algorithm"].text()):
            problem = f"the metrics agent keeps its password readable: algorithm {shown(basic['algorithm'])}"
            yield finding(resource, basic["algorithm"], problem, "set algorithm to SHA-256")


def _service_metrics(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.OTHER):
        listen = document.node["listen"]
        if ":" not in listen.text() or loopback(listen.text()):
            continue
        tls = document.node["tls"] if document.node["tls"].exists else document.node
        for key in ("cert_file", "key_file"):
            if not tls[key].text():
                problem = f"the service serves clear text on {listen.text()}: {key} {shown(tls[key])}"
                yield finding(resource, tls[key], problem, f"set {key} to the workload's certificate")
        metrics = document.node["metrics"]
        if tls["client_ca_file"].text() or (not metrics.exists and any(document.node[key].value for key in _ACCOUNTS)):
            continue
        for key in ("user", "password_file"):
            if not metrics[key].text():
                problem = f"the service lets anybody read its metrics: {key} {shown(metrics[key])}"
                yield finding(resource, metrics[key], problem, f"set metrics.{key}")


def _closed_interfaces(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        if process.runs("prometheus") and process.has("--web.enable-admin-api"):
            problem = "--web.enable-admin-api lets every user delete metrics"
            yield finding(resource, process.where, problem, "remove it")
        if process.runs("thanos", "query") and not process.has("--web.disable-cors"):
            problem = "--web.disable-cors is not given, so any web page may send queries"
            yield finding(resource, process.where, problem, "add --web.disable-cors")


RULES: tuple[Rule, ...] = (
    Rule(
        id="collector-server-login",
        promise="Every receiver and metrics endpoint that the network reaches asks for a password or a certificate.",
        why="Anybody who reaches the port could write telemetry in the name of others, or read it.",
        sources=("O1", "P2"),
        kinds=FILES,
        resource=_server_authentication,
    ),
    Rule(
        id="collector-connections-bounded",
        promise="A gRPC port of senders that log in bounds its connections before their handshake.",
        why="A few hundred idle connections fill the memory, and then every sender is refused.",
        sources=("O1",),
        kinds=FILES,
        resource=_connections,
    ),
    Rule(
        id="collector-senders-share",
        promise="Whoever logs in to a collector has a rate and a share of what is in flight, and none has it all.",
        why="One layer that sends without end would have every other one refused.",
        sources=("O1",),
        kinds=FILES,
        resource=_shares,
    ),
    Rule(
        id="collector-exporter-login",
        promise="Every exporter logs in to its destination, unless it is in the same pod.",
        why="Without it the destination refuses, or takes telemetry from anybody.",
        sources=("O5", "P2"),
        kinds=FILES,
        resource=_exporter_login,
    ),
    Rule(
        id="collector-kafka-login",
        promise=f"Every collector logs in to Kafka by {SCRAM}.",
        why="Weaker mechanisms show the password to whoever answers, and without one Kafka refuses.",
        sources=("K5",),
        kinds=FILES,
        resource=_kafka_login,
    ),
    Rule(
        id="collector-sender-known",
        promise="A collector that senders log in to drops what a sender sends in the name of another.",
        why="One stolen password would be enough to write telemetry of every layer.",
        sources=("O1", "O2"),
        kinds=FILES,
        resource=_sender,
    ),
    Rule(
        id="prometheus-scrape-login",
        promise="Prometheus logs in to every target, and with a user that no other target knows.",
        why="A target that is taken over could otherwise read what all the others serve.",
        sources=("P2",),
        kinds=FILES,
        resource=_scrape_login,
    ),
    Rule(
        id="web-client-login",
        promise="Helpers in a Prometheus pod log in to the Prometheus that they ask.",
        why="A helper without a password can only work where nobody is refused.",
        sources=("P2",),
        kinds=FILES,
        resource=_client_file_login,
    ),
    Rule(
        id="web-users",
        promise="Every web API of the Prometheus family has users, of whose passwords it keeps bcrypt hashes.",
        why="Anybody who reaches the port, or a copy of the file, could read every metric.",
        sources=("P2",),
        options=_COST,
        kinds=FILES,
        resource=_web_users,
    ),
    Rule(
        id="password-files-hashed",
        promise="Password files have users and bcrypt hashes.",
        why="A copy of the file would be a copy of the passwords, and an empty file lets nobody in.",
        sources=("O1", "P2"),
        options=_COST,
        kinds=FILES,
        resource=_password_files,
    ),
    Rule(
        id="jmx-exporter-login",
        promise="The metrics agent of a JVM asks for a password, and keeps a salted hash of it.",
        why="Anybody who reaches the port could read what the brokers count: topics, sizes, clients.",
        sources=("P2",),
        kinds=FILES,
        resource=_jmx_login,
    ),
    Rule(
        id="service-metrics-closed",
        promise="Services serve over TLS, and their metrics ask for a password.",
        why="Anybody who reaches the port could read topics, groups and their state.",
        sources=("P2",),
        kinds=FILES,
        resource=_service_metrics,
    ),
    Rule(
        id="metrics-interfaces-closed",
        promise="Prometheus has no administration interface, and Thanos answers no foreign web pages.",
        why="Either would let a reader do more than read.",
        sources=("P2",),
        kinds=WORKLOADS,
        resource=_closed_interfaces,
    ),
)
