"""Which servers may be reachable from outside: those with TLS and a login."""

from __future__ import annotations

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.fixtures_kubernetes import (
    HASH,
    LABELS,
    WEB,
    changed,
    config_map,
    container,
    deployment,
    ingress,
    k8s,
    platform,
    pod,
    said,
    service,
    swapped,
    without,
)

FIX = "give it TLS and a login, or make the Service a ClusterIP"
TLS = "cert_file: /etc/tls/tls.crt, key_file: /etc/tls/tls.key"


def serving(image: str, command: list[str], port: int, files: dict[str, str] | None = None) -> list[Resource]:
    """A server with files in ``/etc/query`` behind the load balancer."""
    spec = pod(container(image=f"registry.lab.internal/{image}:1", command=command, ports=[{"containerPort": port}]))
    server = changed(deployment(), "spec/template/spec", spec)
    return swapped(platform(), server, config_map(**(files or {})), changed(service(), "spec/ports/0/targetPort", port))


def kafka(protocol: str, more: str = "") -> list[Resource]:
    """A Kafka server."""
    text = f"process.roles=broker\nlisteners=OUT://:9094\nlistener.security.protocol.map=OUT:{protocol}\n{more}"
    return serving(
        "obs/kafka", ["java", "kafka.Kafka", "/etc/query/server.properties"], 9094, {"server.properties": text}
    )


def collector(settings: str) -> list[Resource]:
    """A collector with an OTLP receiver."""
    text = f"receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '0.0.0.0:4317', {settings}}}}}}}}}\nservice: {{}}\n"
    return serving("obs/otelcol", ["/otelcol", "--config=/etc/query/c.yaml"], 4317, {"c.yaml": text})


def grafana(text: str) -> list[Resource]:
    """A Grafana."""
    return serving("grafana/grafana", ["/bin/grafana", "server"], 3000, {"grafana.ini": text})


def proxy(*flags: str) -> list[Resource]:
    """An oauth2-proxy."""
    return serving("obs/oauth2-proxy", ["/bin/oauth2-proxy", *flags], 4180)


def prometheus(*flags: str, web: str = WEB) -> list[Resource]:
    """A Prometheus."""
    return serving("prom/prometheus", ["/bin/prometheus", *flags], 9090, {"web.yaml": web})


def own_service(text: str) -> list[Resource]:
    """A service of ours."""
    command = ["/usr/bin/python3", "-m", "services.x", "--config=/etc/query/s.yaml"]
    return serving("obs/services", command, 8080, {"s.yaml": text})


def prober(*flags: str) -> list[Resource]:
    """A prober."""
    return serving("prom/blackbox-exporter", ["/bin/blackbox_exporter", *flags], 9115, {"web.yaml": WEB})


SAFE = {
    "kafka with SCRAM": kafka("SASL_SSL"),
    "kafka with certificates": kafka("SSL", "ssl.client.auth=required\n"),
    "collector with a login": collector(f"tls: {{{TLS}}}, auth: {{authenticator: basicauth}}"),
    "collector with certificates": collector(f"tls: {{{TLS}, client_ca_file: /etc/tls/ca.crt}}"),
    "thanos": platform(),
    "thanos gRPC": serving(
        "thanosio/thanos",
        ["/bin/thanos", "sidecar", "--grpc-server-tls-cert=/c", "--grpc-server-tls-client-ca=/ca"],
        10901,
    ),
    "prometheus": prometheus("--web.config.file=/etc/query/web.yaml"),
    "prometheus with certificates": prometheus(
        "--web.config.file=/etc/query/web.yaml",
        web=f"tls_server_config: {{{TLS}, client_ca_file: /ca, client_auth_type: RequireAndVerifyClientCert}}\n",
    ),
    "prober": prober("--web.config.file=/etc/query/web.yaml"),
    "grafana": grafana("[server]\nprotocol = https\n"),
    "oauth2-proxy": proxy("--https-address=0.0.0.0:4180", "--tls-cert-file=/c", "--allowed-group=traces"),
    "own service": own_service(f"listen: 0.0.0.0:8080\ntls: {{{TLS}}}\nmetrics: {{password_file: /etc/p}}\n"),
}
WEAK = {
    "listener OUT is PLAINTEXT without a login": kafka("PLAINTEXT"),
    "listener OUT is SSL without a login": kafka("SSL"),
    "listener OUT is SASL_PLAINTEXT without a login": kafka("SASL_PLAINTEXT"),
    "receiver otlp (grpc) has no TLS": collector("auth: {authenticator: basicauth}"),
    "receiver otlp (grpc) asks for no login": collector(f"tls: {{{TLS}}}"),
    "prometheus has no --web.config.file, so neither TLS nor a login": prometheus(),
    "prometheus reads /etc/other.yaml, which no mounted file is": prometheus("--web.config.file=/etc/other.yaml"),
    "web.yaml of prometheus has no TLS": prometheus(
        "--web.config.file=/etc/query/web.yaml", web=f"basic_auth_users: {{reader: {HASH}}}\n"
    ),
    "web.yaml of prometheus asks for no login": prometheus(
        "--web.config.file=/etc/query/web.yaml", web=f"tls_server_config: {{{TLS}}}\n"
    ),
    "blackbox_exporter has no --web.config.file, so neither TLS nor a login": prober(),
    "the gRPC API of thanos has no TLS": serving("thanosio/thanos", ["/bin/thanos", "sidecar"], 10901),
    "Grafana speaks http": grafana("[server]\nroot_url = https://grafana\n"),
    "Grafana lets everybody in": grafana("[server]\nprotocol = https\n[auth.anonymous]\nenabled = true\n"),
    "oauth2-proxy has no TLS at --http-address": proxy("--allowed-group=traces"),
    "oauth2-proxy asks for no login": proxy("--https-address=0.0.0.0:4180", "--tls-cert-file=/c"),
    "s.yaml has no TLS": own_service("listen: 0.0.0.0:8080\npassword_file: /etc/p\n"),
    "s.yaml asks for no login": own_service(f"listen: 0.0.0.0:8080\ntls: {{{TLS}}}\n"),
    "no server that is known to have TLS and a login is behind port 80 of container query": serving(
        "obs/other", ["/bin/httpd"], 80
    ),
}


@pytest.mark.parametrize("name", SAFE)
def test_a_server_with_tls_and_a_login_may_be_reachable(name: str) -> None:
    assert said("service-secure-servers", SAFE[name]) == []


@pytest.mark.parametrize("problem", WEAK)
def test_a_server_without_them_is_told(problem: str) -> None:
    assert said("service-secure-servers", WEAK[problem]) == [
        f"Service obs/query, spec.ports[0].targetPort: LoadBalancer for Deployment obs/query: {problem} -> {FIX}"
    ]


def test_servers_of_the_inside_are_not_asked() -> None:
    inside = changed(service(), "spec/type", "ClusterIP")
    assert said("service-secure-servers", swapped(kafka("PLAINTEXT"), inside)) == []


def test_ports_are_found_by_name() -> None:
    by_name = changed(service(), "spec/ports/0/targetPort", "https")
    assert said("service-secure-servers", swapped(platform(), by_name)) == []
    unnamed = changed(service(), "spec/ports/0/targetPort", "http")
    assert said("service-secure-servers", swapped(platform(), unnamed)) == [
        'Service obs/query, spec.ports[0].targetPort: no container of Deployment obs/query has the port "http"'
        " -> name one that it has"
    ]


def test_a_service_without_pods_is_told() -> None:
    assert said("service-secure-servers", without(platform(), "Deployment", "query")) == [
        "Service obs/query, spec.selector: no workload of the stack is behind it"
        " -> select the pods of one workload, or remove the Service"
    ]


def test_a_file_that_is_not_known_yet_is_no_finding() -> None:
    unknown = changed(config_map(), "data", UNKNOWN)
    with pytest.raises(UnknownValueError):
        said("service-secure-servers", swapped(prometheus("--web.config.file=/etc/query/web.yaml"), unknown))


def test_servers_behind_an_ingress_are_secure_too() -> None:
    inside = changed(service(), "spec/type", "ClusterIP")
    assert said("ingress-secure-servers", swapped(platform(), inside, ingress())) == []
    assert said(
        "ingress-secure-servers", swapped(prometheus(), changed(inside, "spec/ports/0/targetPort", 9090), ingress())
    ) == [
        "Service obs/query, spec.ports[0].targetPort: Ingress obs/query leads here for Deployment obs/query: prometheus"
        f" has no --web.config.file, so neither TLS nor a login -> {FIX}"
    ]
    assert said("ingress-secure-servers", swapped(without(platform(), "Service", "query"), ingress())) == [
        "Ingress obs/query, spec.rules[0].http.paths[0].backend.service.name: Service query is not part of the stack"
        " -> name one that is"
    ]


def test_several_workloads_behind_one_service_are_all_asked() -> None:
    spec = pod(container(command=["/bin/httpd"], image="registry.lab.internal/obs/other:1"))
    other = k8s("apps/v1:Deployment", "other", spec={"template": {"metadata": {"labels": LABELS}, "spec": spec}})
    [message] = said("service-secure-servers", swapped(platform(), other))
    assert message.startswith("Service obs/query, spec.ports[0].targetPort: LoadBalancer for Deployment obs/other: ")
