"""Who may read metrics and scrape: passwords of the Prometheus family, of JVMs and of services (P2)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.documents import Format, documents, files
from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._commands import WORKLOADS, processes
from policy.rules._values import finding, loopback, shown
from policy.rules.tls_prometheus import http_clients, scrape_jobs

_FILES = frozenset({"ConfigMap", "Secret"})
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
        id="prometheus-scrape-login",
        promise="Prometheus logs in to every target, and with a user that no other target knows.",
        why="A target that is taken over could otherwise read what all the others serve.",
        sources=("P2",),
        kinds=_FILES,
        resource=_scrape_login,
    ),
    Rule(
        id="web-client-login",
        promise="Helpers in a Prometheus pod log in to the Prometheus that they ask.",
        why="A helper without a password can only work where nobody is refused.",
        sources=("P2",),
        kinds=_FILES,
        resource=_client_file_login,
    ),
    Rule(
        id="web-users",
        promise="Every web API of the Prometheus family has users, of whose passwords it keeps bcrypt hashes.",
        why="Anybody who reaches the port, or a copy of the file, could read every metric.",
        sources=("P2",),
        options=_COST,
        kinds=_FILES,
        resource=_web_users,
    ),
    Rule(
        id="password-files-hashed",
        promise="Password files have users and bcrypt hashes.",
        why="A copy of the file would be a copy of the passwords, and an empty file lets nobody in.",
        sources=("O1", "P2"),
        options=_COST,
        kinds=_FILES,
        resource=_password_files,
    ),
    Rule(
        id="jmx-exporter-login",
        promise="The metrics agent of a JVM asks for a password, and keeps a salted hash of it.",
        why="Anybody who reaches the port could read what the brokers count: topics, sizes, clients.",
        sources=("P2",),
        kinds=_FILES,
        resource=_jmx_login,
    ),
    Rule(
        id="service-metrics-closed",
        promise="Services serve over TLS, and their metrics ask for a password.",
        why="Anybody who reaches the port could read topics, groups and their state.",
        sources=("P2",),
        kinds=_FILES,
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
