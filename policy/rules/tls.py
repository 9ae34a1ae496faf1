"""TLS of Kafka: every listener of every node, every client, and the connection that makes topics (requirement K5)."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Finding, Node, Options, Resource, Rule
from policy.rules._kafka import PROVIDER, Client, Server, clients, servers, services, words
from policy.rules._values import SAFE_VERSIONS, finding, flag, loopback, shown, stated

_TLS = frozenset({"SSL", "SASL_SSL"})
_STORE_TYPES = {"pem": "PEM", "crt": "PEM", "p12": "PKCS12", "pfx": "PKCS12", "jks": "JKS"}
_FILES = frozenset({"ConfigMap", "Secret"})


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


RULES: tuple[Rule, ...] = (
    Rule(
        id="kafka-listener-tls",
        promise="Every listener of every Kafka node speaks TLS, unless only its own pod reaches it.",
        why="Whoever reads the network would read telemetry and the handshakes of its senders.",
        sources=("K5",),
        kinds=_FILES,
        resource=_listener_tls,
    ),
    Rule(
        id="kafka-node-certificates",
        promise="Every Kafka node has a certificate and an authority, and uses TLS 1.2 or 1.3 and verifies host names.",
        why="Without them a node starts in clear text, trusts anybody, or does not start.",
        sources=("K5",),
        kinds=_FILES,
        resource=_node_material,
    ),
    Rule(
        id="kafka-client-tls",
        promise="Every Java client of Kafka uses TLS and verifies the brokers.",
        why="A client that does not verify gives its password and its records to whoever answers.",
        sources=("K5",),
        kinds=_FILES,
        resource=_client_tls,
    ),
    Rule(
        id="kafka-service-tls",
        promise="Every service that names brokers in its settings file verifies them by the platform's authority.",
        why="A client that does not verify gives its password and its records to whoever answers.",
        sources=("K5",),
        kinds=_FILES,
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
)
