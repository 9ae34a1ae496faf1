"""Who may speak to Kafka, and as whom: listeners, authoriser, super users and clients' logins (requirement K5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.model import Finding, Options, Resource, Rule
from policy.rules._dataplane import PROVIDER, SCRAM, Server, clients, servers, services, super_users, words
from policy.rules._values import FILES, finding, flag, shown, stated

_AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
_MECHANISMS = "sasl.enabled.mechanisms"
_NOBODY = frozenset({"User:ANONYMOUS", "User:*", "User:"})
_RULE = re.compile(r"RULE:(.*?[^\\])/(.*?)/[LU]?$")
_LISTED = re.compile(r"\^[^.*+?\[{\\]*\$")
"""A pattern that matches listed names only."""


def _listener_authentication(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        names = [listener.name for listener in server.listeners]
        for name in [*names, *sorted(server.between_nodes - set(names))]:
            protocol = server.protocol(name)
            if protocol.startswith("SASL_"):
                yield from _scram(server, name)
            elif protocol == "SSL":
                yield from _certificate(server, name)
            elif name in names:
                problem = f"listener {name} ({protocol or 'no protocol'}) lets anybody in"
                where = server["listener.security.protocol.map"]
                yield finding(resource, where, problem, f"set {name} to SASL_SSL (clients) or SSL (nodes)")
        yield from _inherited(server, names)


def _inherited(server: Server, names: list[str]) -> Iterator[Finding]:
    """The node's own list, when every listener has one: it holds for the next listener."""
    asking = [name for name in names if server.protocol(name).startswith("SASL_")]
    common = server[_MECHANISMS]
    used = any(server.of_listener(name, _MECHANISMS).path == common.path for name in asking)
    if asking and not used and common.exists and words(common) != [SCRAM]:
        problem = f"a listener that is added would not ask for {SCRAM}: {_MECHANISMS} {shown(common)}"
        yield finding(server.resource, common, problem, f"set it to {SCRAM}")


def _scram(server: Server, name: str) -> Iterator[Finding]:
    enabled = server.of_listener(name, _MECHANISMS)
    if words(enabled) != [SCRAM]:
        problem = (
            f"listener {name} has mechanisms other than {SCRAM}: sasl.enabled.mechanisms {stated(enabled, 'GSSAPI')}"
        )
        yield finding(server.resource, enabled, problem, f"set it to {SCRAM}")
    login = server.node[f"listener.name.{name.lower()}.{SCRAM.lower()}.sasl.jaas.config"]
    if "ScramLoginModule" not in login.text():
        problem = f"listener {name} has no login module for {SCRAM}: sasl.jaas.config {shown(login)}"
        yield finding(
            server.resource,
            login,
            problem,
            "set it to org.apache.kafka.common.security.scram.ScramLoginModule required;",
        )


def _certificate(server: Server, name: str) -> Iterator[Finding]:
    client_auth = server.of_listener(name, "ssl.client.auth")
    if client_auth.text() != "required":
        problem = f"listener {name} lets anybody in: ssl.client.auth {shown(client_auth)}"
        yield finding(
            server.resource, client_auth, problem, f"set listener.name.{name.lower()}.ssl.client.auth to required"
        )


def _node_links(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        if not server["controller.listener.names"].text():
            where = server["controller.listener.names"]
            yield finding(
                resource,
                where,
                "no listener is named for the quorum",
                "set it to a listener with SSL and client certificates",
            )
        if not server.broker:
            continue
        between = server["inter.broker.listener.name"]
        if not between.text():
            yield finding(
                resource,
                between,
                "no listener is named for brokers, and Kafka's default is clear text",
                "set it to a listener with SSL and client certificates",
            )
        elif between.text() not in {listener.name for listener in server.listeners}:
            problem = f"inter.broker.listener.name {shown(between)}, which is no listener of the node"
            yield finding(resource, between, problem, "name one of its listeners")
        elif server.protocol(between.text()) == "SASL_SSL":
            mechanism = server["sasl.mechanism.inter.broker.protocol"]
            if mechanism.text() != SCRAM:
                problem = f"brokers log in to each other without {SCRAM}: "
                problem += f"sasl.mechanism.inter.broker.protocol {stated(mechanism, 'GSSAPI')}"
                yield finding(resource, between, problem, "set it to a listener with SSL and client certificates")


def _authorizer(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        name = server["authorizer.class.name"]
        if name.text() != _AUTHORIZER:
            yield finding(
                resource,
                name,
                f"no access rule is enforced: authorizer.class.name {shown(name)}",
                f"set it to {_AUTHORIZER}",
            )
        everyone = server["allow.everyone.if.no.acl.found"]
        if everyone.exists and flag(everyone) is not False:
            problem = f"what no rule mentions is open to everybody: allow.everyone.if.no.acl.found {shown(everyone)}"
            yield finding(resource, everyone, problem, "set it to false")


def _super_users(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        where, users = server["super.users"], super_users(server)
        if not users:
            yield finding(
                resource,
                where,
                f"super.users {shown(where)}, so nodes may not talk to each other",
                "name the nodes' principals",
            )
        for user in users:
            if user in _NOBODY or not user.startswith("User:"):
                yield finding(
                    resource,
                    where,
                    f"{user} may do everything, and is not one known user",
                    "name single users as User:<name>",
                )


def _principals(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        for where in list(server.every("ssl.principal.mapping.rules")) or [server["ssl.principal.mapping.rules"]]:
            if not where.exists:
                problem = "certificates are not mapped to users, so no node is the super user that super.users names"
                yield finding(resource, where, problem, "map the nodes' common names, listed one by one")
            for rule in re.split(r",\s*(?=RULE:|DEFAULT)", where.text()):
                match = _RULE.fullmatch(rule)
                if rule in ("", "DEFAULT"):
                    continue
                if match is None or not _LISTED.fullmatch(match.group(1)):
                    yield finding(
                        resource,
                        where,
                        f"{rule} lets certificates choose the user they log in as",
                        "list the nodes' common names in a pattern from ^ to $, without wildcards",
                    )


def _client_login(resource: Resource, options: Options) -> Iterator[Finding]:
    for client in clients(resource):
        protocol, mechanism = client["security.protocol"].text(), client["sasl.mechanism"]
        if protocol.startswith("SASL_") and mechanism.text() != SCRAM:
            yield finding(resource, mechanism, f"sasl.mechanism {stated(mechanism, 'GSSAPI')}", f"set it to {SCRAM}")
        key = client["ssl.keystore.location"]
        if protocol == "SSL" and not key.text() and not client["ssl.keystore.certificate.chain"].text():
            problem = "the client has neither a password nor a certificate"
            yield finding(resource, key, problem, "set security.protocol to SASL_SSL, or name the client's key store")


def _service_login(resource: Resource, options: Options) -> Iterator[Finding]:
    for service in services(resource):
        for names in (("username", "user", "sasl.username"), ("password_file", "sasl.password")):
            if not any(service.node[name].text() for name in names):
                where = service.node[names[0]]
                yield finding(
                    resource,
                    where,
                    f"the service does not log in to Kafka: {names[0]} {shown(where)}",
                    f"set {names[0]}",
                )
        mechanism = service.node["mechanism" if service.node["mechanism"].exists else "sasl.mechanism"]
        if mechanism.exists and mechanism.text().upper() != SCRAM:
            yield finding(resource, mechanism, f"the service logs in by {mechanism.text()}", f"set it to {SCRAM}")


def _provider_login(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type != PROVIDER:
        return
    mechanism = resource.node["saslMechanism"]
    if mechanism.text() != "scram-sha512":
        yield finding(resource, mechanism, f"saslMechanism {shown(mechanism)}", "set it to scram-sha512")
    for key in ("saslUsername", "saslPassword"):
        if not resource.node[key].text():
            where = resource.node[key]
            yield finding(
                resource, where, f"{key} {shown(where)}, so the environment of the update decides", f"set {key}"
            )


RULES: tuple[Rule, ...] = (
    Rule(
        id="kafka-listener-authentication",
        promise=f"Every listener of Kafka asks for {SCRAM} or for a certificate.",
        why="Anybody who reaches the port could read and write all telemetry.",
        sources=("K5",),
        kinds=FILES,
        resource=_listener_authentication,
    ),
    Rule(
        id="kafka-node-links",
        promise="Nodes talk to each other on listeners named for it, as known nodes.",
        why="Whoever passes for a broker gets every record, and may change the quorum.",
        sources=("K5",),
        kinds=FILES,
        resource=_node_links,
    ),
    Rule(
        id="kafka-authorizer",
        promise="Every Kafka node enforces access rules, and denies what no rule allows.",
        why="Every client could read and write every topic.",
        sources=("K5",),
        kinds=FILES,
        resource=_authorizer,
    ),
    Rule(
        id="kafka-super-users",
        promise="Super users are single, known users.",
        why="Access rules do not bind a super user.",
        sources=("K5",),
        kinds=FILES,
        resource=_super_users,
    ),
    Rule(
        id="kafka-principal-mapping",
        promise="Certificates become users by a list of names, never by a pattern.",
        why="Every workload of the platform has a certificate, and could become any user, super users included.",
        sources=("K5",),
        kinds=FILES,
        resource=_principals,
    ),
    Rule(
        id="kafka-client-login",
        promise=f"Every Java client of Kafka logs in by {SCRAM} or by a certificate.",
        why="Weaker mechanisms show the password to whoever answers.",
        sources=("K5",),
        kinds=FILES,
        resource=_client_login,
    ),
    Rule(
        id="kafka-service-login",
        promise="Every service that names brokers logs in with a user of its own.",
        why="A client without a user can only work where nobody is refused.",
        sources=("K5",),
        kinds=FILES,
        resource=_service_login,
    ),
    Rule(
        id="kafka-provider-login",
        promise=f"Topics, users and permissions are made by an administrator who logs in by {SCRAM}.",
        why="Weaker mechanisms show the administrator's password to whoever answers.",
        sources=("K5",),
        kinds=frozenset({"kafka"}),
        resource=_provider_login,
    ),
)
