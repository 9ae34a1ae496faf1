"""TLS of Kafka and of collectors (requirements K5, O1, P2).

Every listener of every node, every client, the connection that makes topics; collectors to Kafka and to destinations,
from senders and from scrapers.
"""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._dataplane import (
    DRAIN,
    PROVIDER,
    URLS,
    Client,
    Collector,
    Component,
    Server,
    Serving,
    clients,
    collectors,
    servers,
    services,
    words,
)
from policy.rules._values import FILES, SAFE_VERSIONS, client_tls, finding, flag, loopback, server_tls, shown, stated

_TLS = frozenset({"SSL", "SASL_SSL"})
_STORE_TYPES = {"pem": "PEM", "crt": "PEM", "p12": "PKCS12", "pfx": "PKCS12", "jks": "JKS"}


def _listener_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        yield from _node_listeners(server)


def _node_listeners(server: Server) -> Iterator[Finding]:
    if not server.listeners:
        where = server["listeners"]
        problem = f"listeners {shown(where)}, so Kafka opens one in clear text"
        yield finding(server.resource, where, problem, "name every listener, each with SSL or SASL_SSL")
    for address in server.listeners:
        if loopback(address.address):
            continue
        protocol = server.protocol(address.name)
        if address.name not in server.protocols and protocol not in _TLS:
            yield finding(
                server.resource,
                server["listener.security.protocol.map"],
                f"listener {address.name} has no protocol, and clear text is Kafka's default",
                f"add {address.name}:SASL_SSL (clients) or {address.name}:SSL (nodes)",
            )
    local = {listener.name for listener in server.listeners if loopback(listener.address)}
    names = {listener.name for listener in server.listeners}
    for name, protocol in server.protocols.items():
        if protocol not in _TLS and name not in local:
            yield finding(
                server.resource,
                server["listener.security.protocol.map"],
                f"listener {name} speaks {protocol}",
                f"set {name} to SASL_SSL (clients) or SSL (nodes)",
            )
    for name in sorted(server.between_nodes - set(server.protocols) - names):
        yield finding(
            server.resource,
            server["listener.security.protocol.map"],
            f"listener {name} has no protocol, and clear text is Kafka's default",
            f"add {name}:SSL",
        )


def _node_material(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        yield from _stores(server.resource, server, key_needed=True)
        for key in ("ssl.enabled.protocols", "ssl.protocol"):
            for node in server.every(key):
                weak = [version for version in words(node) if version not in SAFE_VERSIONS]
                if weak or not words(node):
                    named = ", ".join(weak) or "nothing"
                    yield finding(resource, node, f"{key} allows {named}", "set it to TLSv1.3,TLSv1.2")
        for node in server.every("ssl.endpoint.identification.algorithm"):
            yield from _identification(resource, node)


def _stores(resource: Resource, holder: Server | Client, *, key_needed: bool) -> Iterator[Finding]:
    kinds = (("keystore", "certificate.chain"), ("truststore", "certificates")) if key_needed else ()
    for store, inline in kinds or (("truststore", "certificates"),):
        location = holder[f"ssl.{store}.location"]
        if not location.text() and not holder[f"ssl.{store}.{inline}"].text():
            held = "certificate of its own" if store == "keystore" else "authority to verify others by"
            fix = "/etc/tls/tls-combined.pem" if store == "keystore" else "/etc/tls/ca.crt"
            yield finding(resource, location, f"there is no {held}", f"set ssl.{store}.location to {fix}")
        yield from _store_type(resource, holder, store)
    if not key_needed:
        yield from _store_type(resource, holder, "keystore")


def _store_type(resource: Resource, holder: Server | Client, store: str) -> Iterator[Finding]:
    ending = holder[f"ssl.{store}.location"].text().rsplit(".", 1)[-1]
    needed, kind = _STORE_TYPES.get(ending), holder[f"ssl.{store}.type"]
    actual = kind.text() or "JKS"
    if needed and actual != needed:
        yield finding(
            resource,
            kind,
            f"a {store} of type {actual} cannot read a .{ending} file",
            f"set ssl.{store}.type to {needed}",
        )


def _identification(resource: Resource, node: Node) -> Iterator[Finding]:
    if node.exists and node.text().lower() != "https":
        yield finding(
            resource, node, f"the host name of the other side is not verified: it {shown(node)}", "set it to https"
        )


def _client_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for client in clients(resource):
        protocol = client["security.protocol"]
        if protocol.text() not in _TLS:
            yield finding(
                resource,
                protocol,
                f"security.protocol {stated(protocol, 'PLAINTEXT')}",
                "set it to SASL_SSL (clients) or SSL (nodes)",
            )
        yield from _stores(resource, client, key_needed=protocol.text() == "SSL")
        yield from _identification(resource, client["ssl.endpoint.identification.algorithm"])


def _service_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for service in services(resource):
        authority = [service.node[key] for key in ("ca_file", "ca", "ssl.ca.location", "ssl_cafile", "ca_location")]
        if not any(node.text() for node in [*authority, service.node.at("tls.ca_file")]):
            yield finding(
                resource,
                authority[0],
                "no authority is named that the brokers are verified by",
                "set ca_file to the CA",
            )
        for key in ("security_protocol", "security.protocol", "protocol"):
            stated = service.node[key]
            if stated.exists and stated.text().upper() not in _TLS:
                yield finding(resource, stated, f"{key} {shown(stated)}", "set it to SASL_SSL")
        for key in ("insecure", "insecure_skip_verify", "skip_tls_verify"):
            if service.node[key].exists and flag(service.node[key]) is not False:
                problem = f"brokers are not verified: {key} {shown(service.node[key])}"
                yield finding(resource, service.node[key], problem, f"remove {key}")
        for key in ("verify", "enable.ssl.certificate.verification", "ssl_check_hostname", "tls_enabled"):
            if service.node[key].exists and flag(service.node[key]) is False:
                problem = f"brokers are not verified: {key} {shown(service.node[key])}"
                yield finding(resource, service.node[key], problem, f"remove {key}")


def _provider_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type != PROVIDER:
        return
    # Left out, they come from the environment of whoever runs the update.
    for key, needed in (("tlsEnabled", True), ("skipTlsVerify", False)):
        node = resource.node[key]
        if flag(node) is not needed:
            yield finding(resource, node, f"{key} {shown(node)}", f"set it to {str(needed).lower()}")
    if not resource.node["caCert"].text():
        problem = "no authority is named that the brokers are verified by"
        yield finding(resource, resource.node["caCert"], problem, "set caCert to the platform's CA")


_HEALTH = ("health_check", "healthcheckv2", DRAIN)
_CLEAR = ("pprof", "zpages", "expvar")
"""Extensions that know no TLS."""


def _kafka_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for component in collector.kafka():
            yield from client_tls(resource, component.node["tls"], what="Kafka")


def _receiver_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        yield from _servers(resource, collector.receiving())


def _metrics_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        yield from _servers(resource, collector.exposing())


def _servers(resource: Resource, serving: Iterator[Serving]) -> Iterator[Finding]:
    for server in serving:
        if not server.loopback:
            yield from server_tls(resource, server.node["tls"], what=server.what)


def _exporter_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for exporter in collector.sending():
            yield from _destination(resource, exporter)


def _destination(resource: Resource, exporter: Component) -> Iterator[Finding]:
    addresses = [exporter.node[key] for key in URLS if exporter.node[key].text()]
    addresses += list(exporter.node["endpoints"].elements())
    distant = [address for address in addresses if not loopback(address.text())]
    if addresses and not distant:
        return
    for address in distant:
        if address.text().startswith("http://"):
            yield finding(resource, address, f"{exporter} sends in clear text to {address.text()}", "use https://")
    if distant or exporter.node["tls"].exists:
        yield from client_tls(resource, exporter.node["tls"], what=f"the destination of {exporter}")


def _health_tls(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for extension in collector.components("extensions", *_HEALTH):
            for node in (extension.node, extension.node["http"], extension.node["grpc"]):
                server = Serving(f"{extension}", node)
                if not server.loopback:
                    yield from server_tls(resource, node["tls"], what=server.what)
        for extension in collector.components("extensions", *_CLEAR):
            endpoint = extension.node["endpoint"]
            if endpoint.text() and not loopback(endpoint.text()):
                yield finding(
                    resource,
                    endpoint,
                    f"{extension} knows no TLS and listens on {endpoint.text()}",
                    "bind it to 127.0.0.1 or remove it",
                )


def _own_telemetry(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        telemetry = collector.node.at("service.telemetry")
        yield from _pulled(resource, collector)
        for node in telemetry.walk():
            endpoint = node["endpoint"]
            if not endpoint.exists or loopback(endpoint.text()):
                continue
            if endpoint.text().startswith("http://") or flag(node["insecure"]):
                problem = f"the collector sends its own telemetry in clear text to {endpoint.text()}"
                yield finding(resource, endpoint, problem, "use https:// or the loopback address")


def _pulled(resource: Resource, collector: Collector) -> Iterator[Finding]:
    metrics = collector.node.at("service.telemetry.metrics")
    hosts: list[Node] = [reader.at("pull.exporter.prometheus")["host"] for reader in metrics["readers"].elements()]
    for host in [*hosts, metrics["address"]]:
        if host.exists and not loopback(host.text()):
            yield finding(
                resource,
                host,
                f"the built-in metrics endpoint knows no TLS and {shown(host)}",
                "bind it to 127.0.0.1, or send the metrics to an exporter that serves them over TLS",
            )


RULES: tuple[Rule, ...] = (
    Rule(
        id="kafka-listener-tls",
        promise="Every listener of every Kafka node speaks TLS, unless only its own pod reaches it.",
        why="Whoever reads the network would read telemetry and the handshakes of its senders.",
        sources=("K5",),
        kinds=FILES,
        resource=_listener_tls,
    ),
    Rule(
        id="kafka-node-certificates",
        promise="Every Kafka node has a certificate and an authority, and uses TLS 1.2 or 1.3 and verifies host names.",
        why="Without them a node starts in clear text, trusts anybody, or does not start.",
        sources=("K5",),
        kinds=FILES,
        resource=_node_material,
    ),
    Rule(
        id="kafka-client-tls",
        promise="Every Java client of Kafka uses TLS and verifies the brokers.",
        why="A client that does not verify gives its password and its records to whoever answers.",
        sources=("K5",),
        kinds=FILES,
        resource=_client_tls,
    ),
    Rule(
        id="kafka-service-tls",
        promise="Every service that names brokers in its settings file verifies them by the platform's authority.",
        why="A client that does not verify gives its password and its records to whoever answers.",
        sources=("K5",),
        kinds=FILES,
        resource=_service_tls,
    ),
    Rule(
        id="kafka-provider-tls",
        promise="Topics, users and permissions are made over verified TLS.",
        why="The administrator's password travels on this connection.",
        sources=("K5",),
        kinds=frozenset({"kafka"}),
        resource=_provider_tls,
    ),
    Rule(
        id="collector-kafka-tls",
        promise="Every collector reaches Kafka over verified TLS.",
        why="A collector that does not verify gives its password and all telemetry to whoever answers.",
        sources=("K5",),
        kinds=FILES,
        resource=_kafka_tls,
    ),
    Rule(
        id="collector-receiver-tls",
        promise="Every receiver that the network reaches speaks TLS.",
        why="Senders' passwords and personal data would cross the network readably.",
        sources=("O1",),
        kinds=FILES,
        resource=_receiver_tls,
    ),
    Rule(
        id="collector-metrics-tls",
        promise="Collectors serve metrics over TLS only.",
        why="The scraper's password would cross the network readably.",
        sources=("P2",),
        kinds=FILES,
        resource=_metrics_tls,
    ),
    Rule(
        id="collector-exporter-tls",
        promise="Every exporter verifies its destination over TLS, unless it is in the same pod.",
        why="Telemetry and the exporter's password would go to whoever answers.",
        sources=("O5", "P2"),
        kinds=FILES,
        resource=_exporter_tls,
    ),
    Rule(
        id="collector-health-tls",
        promise="A collector's health endpoint speaks TLS, and its debugging endpoints stay inside the pod.",
        why="They tell whoever asks what the collector does, and profiles hold what it has in memory.",
        sources=("O1",),
        kinds=FILES,
        resource=_health_tls,
    ),
    Rule(
        id="collector-own-telemetry-tls",
        promise="A collector's own telemetry leaves its pod over TLS only.",
        why="Its counters name clients and destinations, and they are what shows lost telemetry.",
        sources=("P2",),
        kinds=FILES,
        resource=_own_telemetry,
    ),
)
