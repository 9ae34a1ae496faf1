"""What is reachable from outside the cluster: Services, Ingresses, and the servers behind them.

Such a server speaks TLS and asks who is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy.documents import Document, Format, ini, parse
from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._dataplane import Collector, Server
from policy.rules._kubernetes import NETWORKS, at, number, of_kind, served, shown, state, too_wide
from policy.rules._oauth_proxy import options, structured_content, structured_file
from policy.rules._servers import Container, Mounted, containers
from policy.rules._values import each_known

_WEB = (
    # programs, flag of the address, its default port, flag of the file
    (("prometheus",), "web.listen-address", 9090, "web.config.file"),
    (("alertmanager",), "web.listen-address", 9093, "web.config.file"),
    (("thanos",), "http-address", 10902, "http.config"),
    (("blackbox_exporter", "blackbox-exporter"), "web.listen-address", 9115, "web.config.file"),
    (("postgres_exporter",), "web.listen-address", 9187, "web.config.file"),
    (("kube-state-metrics",), "port", 8080, "tls-config"),
)
_ON = ("true", "1", "yes", "on", "t", "y")
_VERIFYING = "RequireAndVerifyClientCert"
_CREDENTIAL_KEYS = ("accounts_file", "password_file", "client_ca_file", "users_file", "htpasswd_file")


def weakness(container: Container, port: int, stack: Sequence[Resource]) -> str | None:
    """What is wrong with the server of a container at a port: empty for nothing, None when no known server listens.

    Raises:
        UnknownValueError: A file that may configure the server is not known yet.
    """
    mounted = container.mounted(stack)
    verdicts = [
        *_kafka(mounted, port),
        *_collectors(mounted, port),
        *_web(container, mounted, port),
        *_grpc(container, port),
        *_proxy(container, mounted, port),
        *_grafana(container, mounted, port),
        *_services(mounted, port),
    ]
    if not verdicts:
        mounted.missing()
        return None
    return next((verdict for verdict in verdicts if verdict), "")


def port_of(address: str) -> int:
    """Port of ``host:port``; 0 when there is none."""
    last = address.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    return int(last) if last.isdigit() else 0


def _documents(mounted: Mounted, *formats: Format) -> Iterator[Document]:
    for file in mounted.files:
        kind, content = parse(file.name, file.text)
        if kind in formats:
            yield Document(file.resource, file.name, kind, Node(content, f"{file.name}:"))


def _kafka(mounted: Mounted, port: int) -> Iterator[str]:
    for document in _documents(mounted, Format.KAFKA_SERVER):
        server = Server(document)
        for listener in server.listeners:
            if port_of(listener.address) != port:
                continue
            protocol = server.protocol(listener.name)
            mutual = server.of_listener(listener.name, "ssl.client.auth").text() == "required"
            safe = protocol == "SASL_SSL" or (protocol == "SSL" and mutual)
            yield "" if safe else f"listener {listener.name} is {protocol or 'of no protocol'} without a login"


def _collectors(mounted: Mounted, port: int) -> Iterator[str]:
    for document in _documents(mounted, Format.COLLECTOR, Format.JAEGER):
        collector = Collector(document)
        serving = [(server.what, server.node) for server in (*collector.receiving(), *collector.exposing())]
        for extension in collector.components("extensions", "jaeger_query"):
            serving += [(f"extension {extension.name} ({part})", extension.node[part]) for part in ("http", "grpc")]
        for what, node in serving:
            if port_of(node["endpoint"].text()) == port:
                login = node["auth"]["authenticator"].text() or node["tls"]["client_ca_file"].text()
                yield _checked(what, tls=node["tls"]["cert_file"].text(), login=login)


def _checked(what: str, *, tls: str, login: str) -> str:
    if not tls:
        return f"{what} has no TLS"
    return "" if login else f"{what} asks for no login"


def _web(container: Container, mounted: Mounted, port: int) -> Iterator[str]:
    for programs, address, default, flag in _WEB:
        if not container.runs(*programs):
            continue
        given = container.flag(address)
        if (port_of(given.text) if given else default) != port:
            continue
        path = container.flag(flag)
        if path is None:
            yield f"{programs[0]} has no --{flag}, so neither TLS nor a login"
            continue
        file = mounted.at(path.text)
        if file is None:
            mounted.missing()
            yield f"{programs[0]} reads {path.text}, which no mounted file is"
            continue
        node = Node(parse(file.name, file.text)[1])
        tls = node["tls_server_config"]
        verified = tls["client_auth_type"].text() == _VERIFYING and tls["client_ca_file"].text()
        users = "users" if node["basic_auth_users"].value else ""
        yield _checked(f"{file.name} of {programs[0]}", tls=tls["cert_file"].text(), login=users or verified or "")


def _grpc(container: Container, port: int) -> Iterator[str]:
    if not container.runs("thanos"):
        return
    given = container.flag("grpc-address")
    if (port_of(given.text) if given else 10901) == port:
        tls, authority = container.flag("grpc-server-tls-cert"), container.flag("grpc-server-tls-client-ca")
        yield _checked("the gRPC API of thanos", tls=tls.text if tls else "", login=authority.text if authority else "")


def _proxy(container: Container, mounted: Mounted, port: int) -> Iterator[str]:
    if not container.runs("oauth2-proxy"):
        return
    if container.flag("alpha-config"):
        file = structured_file(container, mounted)
        given = {key: values[-1] for key, _, values in options(structured_content(file))} if file else {}
        if port_of(given.get("https_address", "")) == port:
            yield _checked("oauth2-proxy", tls=given.get("tls_cert_file", ""), login=given.get("allowed_group", ""))
        else:
            yield "oauth2-proxy has no TLS at server.secureBindAddress"
        return
    clear, secure = container.flag("http-address"), container.flag("https-address")
    if secure and port_of(secure.text) == port:
        certificate, group = container.flag("tls-cert-file"), container.flag("allowed-group")
        yield _checked("oauth2-proxy", tls=certificate.text if certificate else "", login=group.text if group else "")
    elif (port_of(clear.text) if clear else 4180) == port:
        yield "oauth2-proxy has no TLS at --http-address"


def _grafana(container: Container, mounted: Mounted, port: int) -> Iterator[str]:
    inis = [ini(file.text) for file in mounted.files if file.name.endswith(".ini")]
    if not container.runs("grafana", "grafana-server") and not any("server" in content for content in inis):
        return
    server: dict[str, str] = {}
    anonymous: dict[str, str] = {}
    for content in inis:
        server |= content.get("server", {})
        anonymous |= content.get("auth.anonymous", {})
    env = {node["name"].text(): node["value"].text() for node in container.node["env"].elements()}
    if int(env.get("GF_SERVER_HTTP_PORT", server.get("http_port", "3000")) or 0) != port:
        return
    protocol = env.get("GF_SERVER_PROTOCOL", server.get("protocol", "http"))
    if protocol not in ("https", "h2"):
        yield f"Grafana speaks {protocol}"
    elif env.get("GF_AUTH_ANONYMOUS_ENABLED", anonymous.get("enabled", "")).strip().lower() in _ON:
        yield "Grafana lets everybody in"
    else:
        yield ""


def _services(mounted: Mounted, port: int) -> Iterator[str]:
    """Our own services: a settings file with ``listen``, a certificate, and a file of passwords."""
    for document in _documents(mounted, Format.OTHER):
        content = document.node.value
        if not isinstance(content, Mapping) or port_of(document.node["listen"].text()) != port:
            continue
        tls = document.node["cert_file"].text() or document.node["tls"]["cert_file"].text()
        logins = [_login(content), *(_login(login) for login in content.values() if isinstance(login, Mapping))]
        yield _checked(document.name, tls=tls, login=next(filter(None, logins), ""))


def _login(content: Mapping[str, Any]) -> str:
    return next((str(content[key]) for key in _CREDENTIAL_KEYS if content.get(key)), "")


_SECURED = "give it TLS and a login, or make the Service a ClusterIP"


def _kinds(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    spec = resource.node["spec"]
    kind = spec["type"]
    if kind.value == "NodePort":
        yield at(
            resource, kind, 'the type is "NodePort", open on every node to everybody', "use ClusterIP or LoadBalancer"
        )
    if kind.value == "ExternalName":
        yield at(
            resource, kind, 'the type is "ExternalName", an alias that no certificate of ours covers', "use ClusterIP"
        )
    if spec["externalIPs"].value:
        node = spec["externalIPs"]
        yield at(
            resource, node, f"externalIPs {state(node.raw)}, which takes the traffic of those addresses", "remove it"
        )


def _ranges(resource: Resource, options: Options) -> Iterator[Finding]:
    spec = resource.node["spec"]
    if not resource.kubernetes or spec["type"].value != "LoadBalancer":
        return
    ranges = spec["loadBalancerSourceRanges"]
    if not ranges.texts():
        yield at(
            resource,
            ranges,
            f"loadBalancerSourceRanges {state(ranges.raw)}: everybody may connect",
            "name the networks",
        )
    for node in ranges.elements():
        if too_wide(node.text(), options):
            yield at(resource, node, f"the network {shown(node.raw)} may connect", "name smaller networks")
    policy = spec["externalTrafficPolicy"]
    if policy.value != "Local":
        yield at(
            resource,
            policy,
            f"externalTrafficPolicy {state(policy.raw)}, which hides the clients' addresses",
            'set it to "Local"',
        )


def _servers(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    for service in of_kind(resources, "Service"):
        kind = service.node.at("spec.type").text()
        if kind not in ("LoadBalancer", "NodePort"):
            continue
        behind = served(service, resources)
        if not behind:
            yield Finding(
                resource=service,
                where="spec.selector",
                problem="no workload of the stack is behind it",
                fix="select the pods of one workload, or remove the Service",
            )
        yield from each_known(
            _behind(service, port, workload, resources, kind)
            for workload in behind
            for port in service.node.at("spec.ports").elements()
        )


def _behind(
    service: Resource, port: Node, workload: Resource, resources: Sequence[Resource], what: str
) -> Iterator[Finding]:
    target = port["targetPort"] if port["targetPort"].exists else port["port"]
    targets = list(_targets(workload, target))
    if not targets:
        yield at(
            service,
            target,
            f"no container of {workload.label} has the port {shown(target.raw)}",
            "name one that it has",
        )
    for container, listens in targets:
        problem = weakness(container, listens, resources)
        if problem is None:
            name = container.node["name"].text()
            problem = f"no server that is known to have TLS and a login is behind port {listens} of container {name}"
        if problem:
            yield at(service, target, f"{what} for {workload.label}: {problem}", _SECURED)


def _targets(workload: Resource, target: Node) -> Iterator[tuple[Container, int]]:
    """Containers with the port, by number or by name."""
    for container in containers(workload):
        for port in container.node["ports"].elements():
            if target.value in (port["containerPort"].value, port["name"].value) or (
                number(target.value) is None and target.text() == port["containerPort"].text()
            ):
                yield container, int(port["containerPort"].value)


def _ingress(resource: Resource, options: Options) -> Iterator[Finding]:
    if not resource.kubernetes:
        return
    spec = resource.node["spec"]
    covered = {
        host for entry in spec["tls"].elements() if entry["secretName"].text() for host in entry["hosts"].texts()
    }
    if not spec["tls"].value:
        yield at(resource, spec["tls"], f"tls {state(spec['tls'].raw)}", "add it for every host, with a secretName")
        return
    for rule in spec["rules"].elements():
        host = rule["host"]
        if host.text() not in covered:
            name = f"host {host.text()}" if host.text() else "a rule for every host"
            yield at(
                resource,
                host,
                f"{name} is not in tls, so it is served in clear text",
                "add it to tls with a secretName",
            )
    if spec["defaultBackend"].exists:
        yield at(resource, spec["defaultBackend"], "requests for any host reach a server", "remove defaultBackend")


def _ingress_servers(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    services = {(resource.namespace, resource.object_name): resource for resource in of_kind(resources, "Service")}
    for ingress in of_kind(resources, "Ingress"):
        for rule in ingress.node.at("spec.rules").elements():
            for path in rule["http"]["paths"].elements():
                backend = path["backend"]["service"]
                name = backend["name"]
                service = services.get((ingress.namespace, name.text()))
                if service is None:
                    yield at(ingress, name, f"Service {name.text()} is not part of the stack", "name one that is")
                    continue
                for port in service.node.at("spec.ports").elements():
                    wanted = backend["port"]["number"].value, backend["port"]["name"].value
                    if port["port"].value == wanted[0] or (wanted[1] and port["name"].value == wanted[1]):
                        for workload in served(service, resources):
                            yield from _behind(service, port, workload, resources, f"{ingress.label} leads here")


_SERVICE = frozenset({"Service"})


RULES: tuple[Rule, ...] = (
    Rule(
        id="service-kind",
        promise="Services are for the inside of the cluster, or have a load balancer of their own.",
        why="Ports of nodes and addresses of others go past the list of networks that may connect.",
        sources=("K5", "P2"),
        kinds=_SERVICE,
        resource=_kinds,
    ),
    Rule(
        id="service-source-ranges",
        promise="A load balancer says which networks may connect, and keeps the clients' addresses.",
        why="Without the list everybody may try passwords; without the addresses no policy and no audit tells who did.",
        sources=("K5", "P2", "M1"),
        options=NETWORKS,
        kinds=_SERVICE,
        resource=_ranges,
    ),
    Rule(
        id="service-secure-servers",
        promise="Only servers with TLS and a login are reachable from outside.",
        why="Telemetry and passwords would cross networks in clear text, or anybody could read and write.",
        sources=("K5", "O1", "P2", "G1", "J3"),
        stack=_servers,
    ),
    Rule(
        id="ingress-tls",
        promise="An Ingress has TLS for each of its hosts.",
        why="Passwords and session cookies would cross networks in clear text.",
        sources=("P2", "G1", "J3"),
        kinds=frozenset({"Ingress"}),
        resource=_ingress,
    ),
    Rule(
        id="ingress-secure-servers",
        promise="Only servers with TLS and a login are behind an Ingress.",
        why="The way from the Ingress to the server is a network too, and the Ingress asks nobody who they are.",
        sources=("P2", "G1", "J3"),
        stack=_ingress_servers,
    ),
)
"""Rules of this concern."""
