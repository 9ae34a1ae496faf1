"""Flags of the servers, and the files that they name."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.data_dataplane import AGENT, GATEWAY, HELPER, NODE, PROMETHEUS, STORES, WEB
from tests.policy.fixtures_dataplane import config_map, rule, said, secret, workload

_WHERE = "StatefulSet ns/server, spec.template.spec.containers[0].command"
_SIDECAR = [
    "/bin/thanos",
    "sidecar",
    "--prometheus.url=https://localhost:9090",
    "--prometheus.http-client-file=/etc/web/client.yml",
    "--http.config=/etc/web/web.yml",
    "--grpc-server-tls-cert=/etc/tls/tls.crt",
    "--grpc-server-tls-key=/etc/tls/tls.key",
    "--grpc-server-tls-client-ca=/etc/tls/ca.crt",
    "--grpc-server-tls-min-version=1.2",
]
_QUERY = [
    "/bin/thanos",
    "query",
    "--http.config=/etc/web/web.yml",
    *_SIDECAR[5:8],
    "--endpoint=store.example:10901",
    "--grpc-client-tls-secure",
    "--grpc-client-tls-ca=/etc/tls/ca.crt",
    "--grpc-client-tls-cert=/etc/tls/tls.crt",
    "--grpc-client-tls-key=/etc/tls/tls.key",
]


def _less(command: list[str], flag: str) -> list[str]:
    return [word for word in command if not word.startswith(flag)]


def _told(problem: str) -> list[str]:
    return [f"{_WHERE}: {problem}"]


def test_a_prometheus_with_a_web_configuration_is_passed() -> None:
    assert said("prometheus-serves-tls", workload(["/bin/prometheus", "--web.config.file=/etc/web/web.yml"])) == []


@pytest.mark.parametrize("given", [[], ["--web.config.file="]])
def test_a_prometheus_without_a_web_configuration_is_noticed(given: list[str]) -> None:
    state = "is empty" if given else "is not given"
    assert said("prometheus-serves-tls", workload(["/bin/prometheus", *given])) == _told(
        f"--web.config.file {state}: Prometheus serves its API in clear text, to anybody | add --web.config.file"
    )


def test_an_exporter_of_postgresql_without_a_web_configuration_is_noticed() -> None:
    exporter = "/bin/postgres_exporter"
    assert said("prometheus-serves-tls", workload([exporter, "--web.config.file=/etc/web/web.yml"])) == []
    assert said("prometheus-serves-tls", workload([exporter])) == _told(
        "--web.config.file is not given: the exporter of PostgreSQL serves its metrics in clear text, to anybody | "
        "add --web.config.file"
    )


def test_what_tells_the_state_of_the_cluster_without_a_web_configuration_is_noticed() -> None:
    exporter = "/kube-state-metrics"
    assert said("prometheus-serves-tls", workload([exporter, "--tls-config=/etc/web/web.yml"])) == []
    assert said("prometheus-serves-tls", workload([exporter, "--host=127.0.0.1"])) == []
    assert said("prometheus-serves-tls", workload([exporter, "--host=0.0.0.0"])) == _told(
        "--tls-config is not given: it serves what it reads of the cluster in clear text, to anybody | add --tls-config"
    )


def test_a_prometheus_is_known_by_its_image_when_there_is_no_command() -> None:
    server = workload([], image="registry.example/prom/prometheus:v3@sha256:00")
    container = {key: value for key, value in _container(server).items() if key != "command"}
    assert said("prometheus-serves-tls", _with_container(server, container)) == [
        "StatefulSet ns/server, spec.template.spec.containers[0].command: --web.config.file is not given: Prometheus "
        "serves its API in clear text, to anybody | add --web.config.file"
    ]


def test_a_prometheus_for_its_own_pod_may_speak_clear_text() -> None:
    local = workload(["/bin/prometheus", "--web.listen-address=127.0.0.1:9090"])
    assert said("prometheus-serves-tls", local) == []


@pytest.mark.parametrize("command", [_SIDECAR, _QUERY])
def test_thanos_with_tls_everywhere_is_passed(command: list[str]) -> None:
    assert said("thanos-serves-tls", workload(command)) == []


@pytest.mark.parametrize(
    ("command", "flag", "problem"),
    [
        (_SIDECAR, "--http.config", "Thanos serves its API in clear text, to anybody"),
        (_SIDECAR, "--grpc-server-tls-cert", "Thanos serves metrics over gRPC without mutual TLS"),
        (_SIDECAR, "--grpc-server-tls-key", "Thanos serves metrics over gRPC without mutual TLS"),
        (_SIDECAR, "--grpc-server-tls-client-ca", "Thanos serves metrics over gRPC without mutual TLS"),
        (_SIDECAR, "--prometheus.http-client-file", "the sidecar has no authority and no password"),
        (_QUERY, "--grpc-client-tls-secure", "stores are asked in clear text"),
        (_QUERY, "--grpc-client-tls-ca", "stores are asked without mutual TLS"),
        (_QUERY, "--grpc-client-tls-cert", "stores are asked without mutual TLS"),
        (_QUERY, "--grpc-client-tls-key", "stores are asked without mutual TLS"),
    ],
)
def test_each_flag_that_thanos_needs_is_missed(command: list[str], flag: str, problem: str) -> None:
    told = _told(f"{flag} is not given: {problem} | add {flag}")
    assert said("thanos-serves-tls", workload(_less(command, flag))) == told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            [*_SIDECAR[:-1], "--grpc-server-tls-min-version=1.0"],
            "--grpc-server-tls-min-version is 1.0, which allows broken versions of TLS | set it to 1.2 or 1.3",
        ),
        (
            [*_less(_SIDECAR, "--prometheus.url"), "--prometheus.url=http://far.example:9090"],
            "--prometheus.url is http://far.example:9090, in clear text | use https://",
        ),
        (
            [*_QUERY, "--grpc-client-tls-skip-verify"],
            "--grpc-client-tls-skip-verify lets any store answer | remove it",
        ),
    ],
)
def test_a_flag_that_weakens_thanos_is_noticed(command: list[str], told: str) -> None:
    assert said("thanos-serves-tls", workload(command)) == _told(told)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (
            "-Dcom.sun.management.jmxremote.port=9999",
            "-Dcom.sun.management.jmxremote.port=9999 opens remote management of the JVM"
            " | remove it; metrics come from the JMX exporter's agent",
        ),
        (
            "-javaagent:/libs/jmx_prometheus_javaagent-1.jar=9404",
            "-javaagent:/libs/jmx_prometheus_javaagent-1.jar=9404 names no configuration, so it serves metrics in "
            "clear text, to anybody | add the file with TLS and the password after the port",
        ),
    ],
)
def test_open_metrics_of_a_jvm_are_noticed(word: str, told: str) -> None:
    assert said("jvm-metrics-closed", workload(["java", word, "kafka.Kafka", "/etc/kafka/a"])) == _told(told)


def test_metrics_of_a_jvm_by_a_configured_agent_are_passed() -> None:
    agent = "-javaagent:/libs/jmx_prometheus_javaagent-1.jar=9404:/etc/metrics/agent.yaml"
    assert said("jvm-metrics-closed", workload(["java", agent, "kafka.Kafka", "/etc/kafka/a"])) == []


_READS: dict[str, tuple[list[str], str, str, Any, str, str]] = {
    "prometheus": (["/bin/prometheus", "--config.file=/etc/p/prometheus.yml"], "/etc/p", "prometheus.yml", PROMETHEUS,
                   "--config.file", "a Prometheus configuration"),
    "prometheus web": (["/bin/prometheus", "--config.file=/etc/p/web.yml", "--web.config.file=/etc/p/web.yml"],
                       "/etc/p", "web.yml", WEB, "--web.config.file", "a web configuration"),
    "thanos web": (["/bin/thanos", "query", "--http.config", "/etc/p/web.yml"], "/etc/p", "web.yml", WEB,
                   "--http.config", "a web configuration"),
    "state of the cluster": (["/kube-state-metrics", "--tls-config=/etc/p/web.yml"], "/etc/p", "web.yml", WEB,
                             "--tls-config", "a web configuration"),
    "thanos stores": (["/bin/thanos", "query", "--endpoint.sd-config-file=/etc/p/s.yml"], "/etc/p", "s.yml", STORES,
                      "--endpoint.sd-config-file", "a list of stores"),
    "thanos helper": (["/bin/thanos", "sidecar", "--prometheus.http-client-file=/etc/p/c.yml"], "/etc/p", "c.yml",
                      HELPER, "--prometheus.http-client-file", "an HTTP client configuration with TLS"),
    "kafka": (["java", "kafka.Kafka", "/etc/p/server-$(POD_INDEX).properties"], "/etc/p", "server-0.properties", NODE,
              "kafka.Kafka", "the configuration of a Kafka node"),
    "agent": (["java", "-javaagent:/l/jmx_prometheus_javaagent-1.jar=9404:/etc/p/a.yaml"], "/etc/p", "a.yaml", AGENT,
              "-javaagent", "the configuration of the metrics agent"),
    "collector": (["/otelcol", "--config=/etc/p/config.yaml"], "/etc/p", "config.yaml", GATEWAY,
                  "--config", "a collector configuration"),
}  # fmt: skip


def _named_path(command: list[str], mount: str) -> str:
    word = next(word for word in reversed(command) if f"{mount}/" in word)
    return word[word.index(f"{mount}/") :]


@pytest.mark.parametrize("name", _READS)
def test_a_server_that_reads_a_checked_file_is_passed(name: str) -> None:
    command, mount, file, content, *_ = _READS[name]
    for kind, holder, volume in (
        ("ConfigMap", config_map({file: content}), {"configMap": {"name": "files"}}),
        ("Secret", secret({file: content}), {"secret": {"secretName": "files"}}),
        ("projected", secret({file: content}), {"projected": {"sources": [{"secret": {"name": "files"}}]}}),
    ):
        told = said("servers-run-checked-files", [workload(command, mounts={mount: volume}), holder])
        expected = 1 if name == "prometheus web" else 0
        assert len(told) == expected, kind


@pytest.mark.parametrize("name", _READS)
def test_a_server_that_reads_something_else_is_noticed(name: str) -> None:
    command, mount, file, _, flag, what = _READS[name]
    server = workload(command, mounts={mount: {"configMap": {"name": "files"}}})
    text = "unrelated=1\n" if file.endswith(".properties") else {"unrelated": 1}
    holder = config_map({file: {"unrelated": "1"} if isinstance(text, str) else text})
    told = (
        f"{_WHERE}: {flag} names {_named_path(command, mount)}, but {file} in ConfigMap ns/files is not {what}"
        f" | put {what} there"
    )
    assert told in said("servers-run-checked-files", [server, holder])


@pytest.mark.parametrize("name", _READS)
def test_a_file_that_is_nowhere_is_noticed(name: str) -> None:
    command, mount, _, _, flag, what = _READS[name]
    told = (
        f"{_WHERE}: {flag} names {_named_path(command, mount)}, which is in no ConfigMap or Secret of this stack that "
        f"the container mounts | mount {what} there"
    )
    assert told in said("servers-run-checked-files", [workload(command)])


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        (["/otelcol", "--set=receivers.otlp.protocols.grpc.tls=null"], "--set"),
        (
            ["java", "kafka.Kafka", "/etc/p/server.properties", "--override", "listeners=PLAINTEXT://:9092"],
            "--override",
        ),
    ],
)
def test_a_flag_that_overrides_a_checked_file_is_noticed(command: list[str], flag: str) -> None:
    server = workload(command, mounts={"/etc/p": {"configMap": {"name": "files"}}})
    told = said("servers-run-checked-files", [server, config_map({"server.properties": NODE})])
    assert told == _told(f"{flag} overrides settings that this pack has read | write the setting into the file")


def test_a_file_that_a_preview_does_not_know_is_reported_after_what_is_wrong() -> None:
    stack = [
        workload(
            ["/bin/thanos", "query", "--http.config=/etc/w/web.yml"], mounts={"/etc/w": {"secret": {"secretName": "w"}}}
        ),
        workload(["/otelcol", "--config=/nowhere.yaml"], name="other"),
        Resource(
            "kubernetes:core/v1:Secret",
            "w",
            {"metadata": {"name": "w", "namespace": "ns"}, "stringData": {"web.yml": UNKNOWN}},
        ),
    ]
    check = rule("servers-run-checked-files").stack
    assert check is not None
    problems: list[str] = []

    def look() -> None:
        for finding in check(stack, {}):
            problems.append(finding.problem)  # what comes before the error counts

    with pytest.raises(UnknownValueError, match=r"web\.yml"):
        look()
    assert [problem.split(",")[0] for problem in problems] == ["--config names /nowhere.yaml"]


def _container(server: Resource) -> dict[str, Any]:
    container: dict[str, Any] = server.props["spec"]["template"]["spec"]["containers"][0]
    return container


def _with_container(server: Resource, container: dict[str, Any]) -> Resource:
    spec = {"template": {"spec": {"containers": [container]}}}
    return Resource(server.type, server.name, {**server.props, "spec": spec})
