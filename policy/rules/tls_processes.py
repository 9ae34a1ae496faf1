"""TLS that is a matter of flags, and files that flags name: what containers really run with (requirements K5, P2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from policy.documents import Document, Format, parse
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._commands import WORKLOADS, Files, Process, processes
from policy.rules._values import SAFE_VERSIONS, each_known, finding, loopback

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
            for flag in _GRPC_FLAGS:
                if not process.flag(flag):
                    yield _flag_missing(process, flag, "Thanos serves metrics over gRPC without mutual TLS")
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
    for flag in _CLIENT_FLAGS:
        if not process.flag(flag):
            yield _flag_missing(process, flag, "stores are asked without mutual TLS")


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
)
