"""The access matrix as Markdown: ``docs/access.md``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from ops.permissions.model import (
    ANY,
    DatabaseRole,
    Edge,
    GatewayLogin,
    HttpServer,
    KafkaGrant,
    KubernetesRule,
    Matrix,
    SearchUser,
    ServiceAccount,
)

WIDTH = 100
_HEAD = """Generated from what `Pulumi.prod.yaml` renders, by `make docs`: change the components, not this file.
What is not listed is refused. `ops drill access` tries what is outside of the matrix on a running platform, whose own
matrix the same functions read from the state of its stack. People, who sign in to Grafana, Jaeger, metrics and alerts
by the directory or the identity provider, are no part of this page.
"""
_KAFKA = "Read and Write include Describe. Logins are SCRAM-SHA-512 over TLS."
_DATABASE = "Everything comes over TLS with SCRAM-SHA-256; the superuser logs in through the pod's own socket only."
_SEARCH = "One role a user. `*` in a pattern of indices stands for the numbers of a family's indices."
_HTTP = """User name and password over TLS. A server without parts lets its users use all of it: who scrapes
Prometheus may query it, too.
"""
_NETWORK = """Traffic that is let in, by who sends it. Everything else is dropped, in and out, but for the cluster's
DNS. The port stands behind the workload.
"""
_OUTGOING = "Networks outside of the cluster, by who may send to them:"
_STORAGE = """The keys of a bucket are counted. The prefix is what a program uses; where programs share a key, the
storage does not keep them apart.
"""
_GATEWAY = "The gate refuses another layer and signals that a layer does not have (tried by `ops drill gate-forgery`)."


def text(matrix: Matrix) -> str:
    """The whole page."""
    sections = (
        ("Kafka", _KAFKA, kafka(matrix)),
        ("Kubernetes API", "ServiceAccounts of the namespace.", kubernetes(matrix.accounts)),
        ("PostgreSQL", _DATABASE, map(database, matrix.database)),
        ("Search cluster", _SEARCH, search(matrix.search)),
        ("HTTP servers", _HTTP, map(http, matrix.http)),
        ("Network", _NETWORK, network(matrix.edges)),
        ("Out of the cluster", _OUTGOING, outside(matrix)),
        ("Object storage", _STORAGE, storage(matrix)),
        ("Gateway", _GATEWAY, map(gateway, matrix.gateway)),
    )
    lines = ["# Who may do what", "", _wrapped(_HEAD), ""]
    for title, about, rows in sections:
        lines += [f"## {title}", "", _wrapped(about), "", *(_wrapped(f"- {row}", "  ") for row in rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def _wrapped(row: str, indent: str = "") -> str:
    return textwrap.fill(row, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _by_right(grants: Iterable[KafkaGrant]) -> str:
    """``Read topics `a`, `b`; Read group `c```."""
    phrases: dict[str, list[str]] = {}
    for grant in grants:
        name = f"{grant.resource}*" if grant.prefixed else grant.resource
        right = f"{'not ' if grant.denied else ''}{grant.operation} {grant.kind}"
        phrases.setdefault(right, []).append("all" if grant.resource == ANY else f"`{name}`")
    together: dict[tuple[str, ...], list[str]] = {}
    for right, names in phrases.items():
        operation, kind = right.rsplit(" ", 1)
        together.setdefault((kind, *names), []).append(operation)
    return "; ".join(
        f"{', '.join(operations)} {kind.lower()} {', '.join(names)}" for (kind, *names), operations in together.items()
    )


def kafka(matrix: Matrix) -> Iterator[str]:
    """Rows of Kafka's users."""
    yield f"super users: {_code(matrix.kafka_super_users)}: everything"
    for user in matrix.kafka_users:
        rights = _by_right(grant for grant in matrix.kafka if grant.user == user)
        yield f"**{user}**: {rights or 'nothing'}"


def rule(about: KubernetesRule) -> str:
    """One rule of a role."""
    groups = [group for group in about.groups if group]
    parts = (
        ", ".join(about.verbs),
        ", ".join(about.resources),
        f"({', '.join(groups)})" if groups else "",
        f"named {_code(about.names)}" if about.names else "",
        f"in {about.namespace}" if about.namespace else "in the whole cluster",
    )
    return " ".join(filter(None, parts))


def kubernetes(accounts: Iterable[ServiceAccount]) -> Iterator[str]:
    """Rows of ServiceAccounts: those with rules or a token first, all others in one row."""
    plain = []
    for account in accounts:
        if not account.rules and not account.mounted_by:
            plain.append(account.name)
            continue
        token = f"token in the pods of {_code(account.mounted_by)}" if account.mounted_by else "no token in any pod"
        yield f"**{account.name}** ({token}): {'; '.join(map(rule, account.rules)) or 'nothing'}"
    if plain:
        yield f"no token in any pod, no role: {_code(plain)}"


def database(role: DatabaseRole) -> str:
    """The row of a role of PostgreSQL."""
    places: dict[str, list[str]] = {}
    for base, address in role.connects:
        places.setdefault(base, []).append(address)
    connects = [
        f"{'the log (replication)' if base == 'replication' else f'database `{base}`'}"
        + ("" if addresses == ["all"] else f" from {', '.join(addresses)}")
        for base, addresses in places.items()
    ]
    owns = f"; owns {_code(role.owns)}" if role.owns else ""
    granted = f"; granted {_code(role.granted)}" if role.granted else ""
    return f"**{role.name}**: connects to {', '.join(connects) or 'nothing'}{owns}{granted}"


def search(users: Iterable[SearchUser]) -> Iterator[str]:
    """Rows of the search cluster's users."""
    for user in users:
        rights = "; ".join(f"{_code(grant.patterns)}: {', '.join(grant.privileges)}" for grant in user.indices)
        yield f"**{user.name}**: {rights or 'no index'}; cluster: {', '.join(user.cluster) or 'nothing'}"


def http(server: HttpServer) -> str:
    """The row of an HTTP server."""
    over = " (gRPC)" if server.grpc else ""
    what = "" if server.path == "/" else server.path
    return f"**{server.workload}:{server.port}{what}**{over}: {_code(user.name for user in server.users)}"


def network(edges: Iterable[Edge]) -> Iterator[str]:
    """Rows of traffic that is let in, by sources: what has the same ones stands together."""
    sources: dict[tuple[str, int], list[str]] = {}
    for edge in sorted(edges):
        sources.setdefault((edge.to, edge.port), []).append(edge.source)
    targets: dict[tuple[str, ...], list[str]] = {}
    for (target, port), names in sources.items():
        targets.setdefault(tuple(names), []).append(f"{target}:{port or 'every port'}")
    for senders, to in sorted(targets.items()):
        yield f"**from {', '.join(senders)}** to {_code(to)}"


def outside(matrix: Matrix) -> Iterator[str]:
    """Rows of networks outside of the cluster."""
    senders: dict[tuple[str, int], list[str]] = {}
    for out in matrix.outgoing:
        senders.setdefault((out.network, out.port), []).append(out.workload)
    for (address, port), workloads in sorted(senders.items()):
        yield f"**{address}:{port or 'every port'}** from {_code(workloads)}"


def storage(matrix: Matrix) -> Iterator[str]:
    """Rows of object storages: bucket, key, prefix, programs."""
    programs: dict[tuple[str, int, str], list[str]] = {}
    for access in matrix.storage:
        programs.setdefault((access.bucket, access.key, access.prefix), []).append(access.workload)
    for (bucket, key, prefix), workloads in sorted(programs.items()):
        where = f"`{prefix}`" if prefix else "the whole bucket"
        yield f"**{bucket}** (key {key}): {where} by {_code(workloads)}"


def gateway(login: GatewayLogin) -> str:
    """The row of a user of the gateway."""
    layers = "; ".join(f"{layer} ({', '.join(signals)})" for layer, signals in login.layers)
    return f"**{login.user}**: {layers}"
