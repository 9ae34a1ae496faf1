"""TLS of processes: flags, files that flags name, and the files of Prometheus and Thanos (requirements K5, P2).

Scraping, web APIs, StoreAPI, and the JVMs' metrics agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from policy.documents import Document, Format, documents, parse
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._kubernetes import WORKLOADS, Files, Process, processes
from policy.rules._values import (
    FILES,
    SAFE_VERSIONS,
    client_tls,
    each_known,
    finding,
    flag,
    loopback,
    old_versions,
    server_tls,
    shown,
)

_GRPC = ("sidecar", "store", "query", "rule", "receive")
_GRPC_FLAGS = ("--grpc-server-tls-cert", "--grpc-server-tls-key", "--grpc-server-tls-client-ca")
_CLIENT_FLAGS = ("--grpc-client-tls-ca", "--grpc-client-tls-cert", "--grpc-client-tls-key")
_ADDRESS_FLAGS = ("--endpoint", "--endpoint-strict", "--endpoint-group", "--endpoint-group-strict", "--store")
_WEB = (
    # program, what is served, flag of the file, flag of the address
    ("prometheus", "Prometheus serves its API", "--web.config.file", "--web.listen-address"),
    (
        "postgres_exporter",
        "the exporter of PostgreSQL serves its metrics",
        "--web.config.file",
        "--web.listen-address",
    ),
    ("kube-state-metrics", "it serves what it reads of the cluster", "--tls-config", "--host"),
)
_AGENT = "jmx_prometheus_javaagent"


def _web(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        for program, served, file, address in _WEB:
            if not process.runs(program) or process.flag(file):
                continue
            given = process.flags(address)
            if not given or not all(loopback(place) for place in given):
                yield _flag_missing(process, file, f"{served} in clear text, to anybody")


def _thanos(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        if not process.runs("thanos"):
            continue
        if not process.flag("--http.config"):
            yield _flag_missing(process, "--http.config", "Thanos serves its API in clear text, to anybody")
        if any(word in _GRPC for word in process.words[:2]):
            for name in _GRPC_FLAGS:
                if not process.flag(name):
                    yield _flag_missing(process, name, "Thanos serves metrics over gRPC without mutual TLS")
        version = process.flag("--grpc-server-tls-min-version")
        if version and version not in SAFE_VERSIONS:
            problem = f"--grpc-server-tls-min-version is {version}, which allows broken versions of TLS"
            yield finding(resource, process.where, problem, "set it to 1.2 or 1.3")
        yield from _sidecar(process)
        yield from _static_stores(process)


def _sidecar(process: Process) -> Iterator[Finding]:
    url = process.flag("--prometheus.url")
    if url.startswith("http://") and not loopback(url):
        yield finding(process.resource, process.where, f"--prometheus.url is {url}, in clear text", "use https://")
    given = process.flag("--prometheus.http-client-file") or process.flag("--prometheus.http-client")
    if url.startswith("https://") and not given:
        yield _flag_missing(process, "--prometheus.http-client-file", "the sidecar has no authority and no password")


def _static_stores(process: Process) -> Iterator[Finding]:
    if process.has("--grpc-client-tls-skip-verify"):
        problem = "--grpc-client-tls-skip-verify lets any store answer"
        yield finding(process.resource, process.where, problem, "remove it")
    if not any(process.has(flag) for flag in _ADDRESS_FLAGS):
        return
    if not process.has("--grpc-client-tls-secure"):
        yield _flag_missing(process, "--grpc-client-tls-secure", "stores are asked in clear text")
    for name in _CLIENT_FLAGS:
        if not process.flag(name):
            yield _flag_missing(process, name, "stores are asked without mutual TLS")


def _remote_jmx(resource: Resource, options: Options) -> Iterator[Finding]:
    for process in processes(resource):
        for word in process.words:
            if word.startswith("-Dcom.sun.management.jmxremote.port"):
                problem = f"{word} opens remote management of the JVM"
                yield finding(resource, process.where, problem, "remove it; metrics come from the JMX exporter's agent")
            if _AGENT in word and not _agent_file(word):
                problem = f"{word} names no configuration, so it serves metrics in clear text, to anybody"
                yield finding(resource, process.where, problem, "add the file with TLS and the password after the port")


def _agent_file(word: str) -> str:
    """The configuration file in ``-javaagent:agent.jar=[host:]port:file``."""
    value = word.partition("=")[2]
    return value[value.index("/") :] if ":/" in value else ""


def _flag_missing(process: Process, flag: str, problem: str) -> Finding:
    state = "is not given" if not process.has(flag) else "is empty"
    return finding(process.resource, process.where, f"{flag} {state}: {problem}", f"add {flag}")


_Accepts = Callable[[Document], bool]


def _of(*formats: Format) -> _Accepts:
    return lambda document: document.format in formats


def _client_file(document: Document) -> bool:
    return document.format is Format.OTHER and document.node["tls_config"].exists


def _named_files(process: Process) -> Iterator[tuple[str, str, str, _Accepts]]:
    """Flag, path, what must be there, and how it is recognised."""
    if process.runs("prometheus"):
        path = process.flag("--config.file") or "prometheus.yml"
        yield "--config.file", path, "a Prometheus configuration", _of(Format.PROMETHEUS)
        if process.flag("--web.config.file"):
            yield "--web.config.file", process.flag("--web.config.file"), "a web configuration", _of(Format.WEB)
    if process.runs("thanos"):
        for flag, what, accepts in (
            ("--http.config", "a web configuration", _of(Format.WEB)),
            ("--endpoint.sd-config-file", "a list of stores", _of(Format.THANOS_CLIENT)),
            ("--prometheus.http-client-file", "an HTTP client configuration with TLS", _client_file),
        ):
            if process.flag(flag):
                yield flag, process.flag(flag), what, accepts
    if process.runs("blackbox_exporter") or process.runs("blackbox-exporter"):
        path = process.flag("--config.file") or "blackbox.yml"
        yield "--config.file", path, "ways of probing", _of(Format.PROBER)
        if process.flag("--web.config.file"):
            yield "--web.config.file", process.flag("--web.config.file"), "a web configuration", _of(Format.WEB)
    if process.runs("kube-state-metrics") and process.flag("--tls-config"):
        yield "--tls-config", process.flag("--tls-config"), "a web configuration", _of(Format.WEB)
    if process.runs("postgres_exporter") and process.flag("--web.config.file"):
        yield "--web.config.file", process.flag("--web.config.file"), "a web configuration", _of(Format.WEB)
    if "kafka.Kafka" in process.words and process.words[-1] != "kafka.Kafka":
        path = process.words[process.words.index("kafka.Kafka") + 1]
        yield "kafka.Kafka", path, "the configuration of a Kafka node", _of(Format.KAFKA_SERVER)
    for word in process.words:
        if _AGENT in word and _agent_file(word):
            yield "-javaagent", _agent_file(word), "the configuration of the metrics agent", _of(Format.JMX_EXPORTER)
    if is_collector(process):
        for path in process.flags("--config"):
            yield (
                "--config",
                path.removeprefix("file:"),
                "a collector configuration",
                _of(Format.COLLECTOR, Format.JAEGER),
            )


def is_collector(process: Process) -> bool:
    """Whether a container runs a collector, Jaeger included."""
    program = process.words[0].rsplit("/", 1)[-1] if process.words else ""
    return any(name in (program or process.repository) for name in ("otelcol", "opentelemetry-collector", "jaeger"))


def _checked_files(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    files = Files(resources)
    yield from each_known(_workload_files(files, resource) for resource in resources)


def _workload_files(files: Files, workload: Resource) -> Iterator[Finding]:
    yield from each_known(_process_files(files, process) for process in processes(workload))


def _process_files(files: Files, process: Process) -> Iterator[Finding]:
    if is_collector(process) and process.has("--set"):
        problem = "--set overrides settings that this pack has read"
        yield finding(process.resource, process.where, problem, "write the setting into the file")
    if "kafka.Kafka" in process.words and process.has("--override"):
        problem = "--override overrides settings that this pack has read"
        yield finding(process.resource, process.where, problem, "write the setting into the file")
    yield from each_known(_one_file(files, process, *named) for named in _named_files(process))


def _one_file(files: Files, process: Process, flag: str, path: str, what: str, accepts: _Accepts) -> Iterator[Finding]:
    located_files = files.at(process, path)
    if not located_files:
        problem = f"{flag} names {path}, which is in no ConfigMap or Secret of this stack that the container mounts"
        yield finding(process.resource, process.where, problem, f"mount {what} there")
    for located in located_files:
        kind, content = parse(located.name, located.text)
        if not accepts(Document(located.resource, located.name, kind, Node(content, f"{located.name}:"))):
            problem = f"{flag} names {path}, but {located.name} in {located.resource.label} is not {what}"
            yield finding(process.resource, process.where, problem, f"put {what} there")


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
        id="prometheus-serves-tls",
        promise="Every Prometheus, exporter of PostgreSQL and kube-state-metrics is started with a web configuration.",
        why="Without it anybody who reaches the port reads every metric, unencrypted.",
        sources=("P2",),
        kinds=WORKLOADS,
        resource=_web,
    ),
    Rule(
        id="thanos-serves-tls",
        promise="Thanos serves TLS with passwords over HTTP, mutual TLS over gRPC, and verifies whom it asks.",
        why="Without it anybody who reaches the port reads every metric, unencrypted.",
        sources=("P2",),
        kinds=WORKLOADS,
        resource=_thanos,
    ),
    Rule(
        id="jvm-metrics-closed",
        promise="A JVM gives metrics only by its agent, configured with TLS and a password.",
        why="Remote management can stop the JVM and read its memory.",
        sources=("K5", "P2"),
        kinds=WORKLOADS,
        resource=_remote_jmx,
    ),
    Rule(
        id="servers-run-checked-files",
        promise="Kafka, collectors, Prometheus, Thanos, the prober and kube-state-metrics read the very files "
        "that rules have checked.",
        why="A server that reads another file keeps none of the promises about its configuration.",
        sources=("K5", "O1", "P2"),
        stack=_checked_files,
    ),
    Rule(
        id="prometheus-scrape-tls",
        promise="Prometheus scrapes over TLS, and verifies by authority and name whom it gives the password to.",
        why="Scrape passwords would go to whoever answers, and so would wrong metrics come back.",
        sources=("P2",),
        kinds=FILES,
        resource=_scrape_tls,
    ),
    Rule(
        id="prometheus-remote-tls",
        promise="Samples that Prometheus sends or reads elsewhere go over verified TLS.",
        why="Whoever reads the network would read them, and whoever answers could make them up.",
        sources=("P2",),
        kinds=FILES,
        resource=_remote_tls,
    ),
    Rule(
        id="web-tls",
        promise="Every web API of the Prometheus family serves TLS with the workload's certificate.",
        why="Users' passwords and all metrics would cross the network readably.",
        sources=("P2",),
        kinds=FILES,
        resource=_web_tls,
    ),
    Rule(
        id="web-client-tls",
        promise="Helpers in a Prometheus pod verify the Prometheus that they ask.",
        why="Their password would go to whatever answers on the port.",
        sources=("P2",),
        kinds=FILES,
        resource=_client_file_tls,
    ),
    Rule(
        id="thanos-stores-tls",
        promise="Thanos asks its stores over mutual TLS, and verifies their name.",
        why="All metrics would cross the network readably, or come from a store that is none.",
        sources=("P2",),
        kinds=FILES,
        resource=_stores_tls,
    ),
    Rule(
        id="jmx-exporter-tls",
        promise="The metrics agent of a JVM serves TLS.",
        why="The scraper's password would cross the network readably.",
        sources=("P2",),
        kinds=FILES,
        resource=_jmx_tls,
    ),
)
