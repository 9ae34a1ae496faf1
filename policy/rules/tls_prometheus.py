"""TLS around Prometheus and Thanos: scraping, web APIs, StoreAPI, and the JVMs' metrics agent (requirement P2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policy.documents import Document, Format, documents
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._values import client_tls, finding, flag, loopback, old_versions, server_tls, shown

_FILES = frozenset({"ConfigMap", "Secret"})
_CLIENT_KEYS = frozenset({"basic_auth", "tls_config", "authorization", "oauth2", "follow_redirects", "enable_http2"})


def scrape_jobs(resource: Resource) -> Iterator[tuple[str, Node]]:
    """Name and settings of every scrape job that leaves its pod."""
    for document in documents(resource, Format.PROMETHEUS):
        for job in document.node["scrape_configs"].elements():
            if not _own_pod(job):
                yield job["job_name"].text(), job


def http_clients(resource: Resource) -> Iterator[Document]:
    """Files by which promtool and the Thanos sidecar reach Prometheus."""
    for document in documents(resource, Format.OTHER):
        content = document.node.value
        if isinstance(content, Mapping) and content and set(content) <= _CLIENT_KEYS:
            yield document


def _own_pod(job: Node) -> bool:
    discovered = any(key.endswith("_sd_configs") for key, _ in job.items())
    targets = [target for group in job["static_configs"].elements() for target in group["targets"].texts()]
    return not discovered and bool(targets) and all(loopback(target) for target in targets)


def _scrape_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for name, job in scrape_jobs(resource):
        yield from _https(resource, job, f"job {name}")
        if not job["tls_config"]["server_name"].text() and any(key.endswith("_sd_configs") for key, _ in job.items()):
            yield finding(
                resource,
                job["tls_config"]["server_name"],
                f"job {name} takes the certificate of any host that discovery names",
                "set server_name to the workload's Service",
            )


def _https(resource: Resource, job: Node, what: str) -> Iterator[Finding]:
    if job["scheme"].text() != "https":
        problem = f"{what} is asked in clear text: scheme {shown(job['scheme'])}"
        yield finding(resource, job["scheme"], problem, "set scheme to https")
    yield from client_tls(resource, job["tls_config"], what=what)


def _remote_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.PROMETHEUS):
        for section in ("remote_write", "remote_read"):
            for remote in document.node[section].elements():
                url = remote["url"]
                if loopback(url.text()):
                    continue
                if not url.text().startswith("https://"):
                    yield finding(resource, url, f"{section} is in clear text: url {shown(url)}", "use https://")
                yield from client_tls(resource, remote["tls_config"], what=f"{section} {url.text()}")


def _web_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.WEB):
        yield from server_tls(resource, document.node["tls_server_config"], what="the web API")


def _client_file_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in http_clients(resource):
        yield from client_tls(resource, document.node["tls_config"], what="the server that this file is for")


def _stores_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.THANOS_CLIENT):
        common = document.node["default_client_config"]
        for endpoint in document.node["endpoints"].elements():
            own = endpoint["client_config"]
            if own.exists:
                yield from _store(resource, own, endpoint["address"].text())
            # Thanos uses the defaults alone for addresses that it looks up.
            if not common.exists and (not own.exists or endpoint["address"].text().startswith("dns")):
                yield finding(
                    resource,
                    common,
                    f"{endpoint['address'].text()} is asked in clear text",
                    "set default_client_config with TLS and the client's certificate",
                )
        if common.exists:
            yield from _store(resource, common, "a store")


def _store(resource: Resource, client: Node, what: str) -> Iterator[Finding]:
    tls = client["tls_config"]
    if flag(tls["enabled"]) is not True:
        problem = f"{what} is asked in clear text: enabled {shown(tls['enabled'])}"
        yield finding(resource, tls["enabled"], problem, "set enabled to true")
    if flag(tls["insecure_skip_verify"]):
        problem = f"{what} is not verified: insecure_skip_verify {shown(tls['insecure_skip_verify'])}"
        yield finding(resource, tls["insecure_skip_verify"], problem, "remove insecure_skip_verify")
    for key in ("ca_file", "cert_file", "key_file"):
        if not tls[key].text():
            yield finding(resource, tls[key], f"{what} is asked without {key}", f"set {key} to that of the workload")
    if not client["server_name"].text():
        yield finding(
            resource,
            client["server_name"],
            f"the certificate of any host that discovery names is taken for that of {what}",
            "set server_name to the name in the certificates",
        )
    yield from old_versions(resource, tls)


def _jmx_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for document in documents(resource, Format.JMX_EXPORTER):
        store = document.node["httpServer"]["ssl"]["keyStore"]
        if not store["filename"].text():
            yield finding(
                resource,
                store["filename"],
                "the metrics agent speaks clear text: it has no key store",
                "set httpServer.ssl.keyStore.filename to the workload's key store",
            )


RULES: tuple[Rule, ...] = (
    Rule(
        id="prometheus-scrape-tls",
        promise="Prometheus scrapes over TLS, and verifies by authority and name whom it gives the password to.",
        why="Scrape passwords would go to whoever answers, and so would wrong metrics come back.",
        sources=("P2",),
        kinds=_FILES,
        resource=_scrape_tls,
    ),
    Rule(
        id="prometheus-remote-tls",
        promise="Samples that Prometheus sends or reads elsewhere go over verified TLS.",
        why="Whoever reads the network would read them, and whoever answers could make them up.",
        sources=("P2",),
        kinds=_FILES,
        resource=_remote_tls,
    ),
    Rule(
        id="web-tls",
        promise="Every web API of the Prometheus family serves TLS with the workload's certificate.",
        why="Users' passwords and all metrics would cross the network readably.",
        sources=("P2",),
        kinds=_FILES,
        resource=_web_tls,
    ),
    Rule(
        id="web-client-tls",
        promise="Helpers in a Prometheus pod verify the Prometheus that they ask.",
        why="Their password would go to whatever answers on the port.",
        sources=("P2",),
        kinds=_FILES,
        resource=_client_file_tls,
    ),
    Rule(
        id="thanos-stores-tls",
        promise="Thanos asks its stores over mutual TLS, and verifies their name.",
        why="All metrics would cross the network readably, or come from a store that is none.",
        sources=("P2",),
        kinds=_FILES,
        resource=_stores_tls,
    ),
    Rule(
        id="jmx-exporter-tls",
        promise="The metrics agent of a JVM serves TLS.",
        why="The scraper's password would cross the network readably.",
        sources=("P2",),
        kinds=_FILES,
        resource=_jmx_tls,
    ),
)
