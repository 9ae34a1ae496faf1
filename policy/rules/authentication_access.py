"""Kafka's users, access rules and groups (requirement K5).

One user per client, and no more than it needs; whoever reads a topic does so as a group that it may be a member of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._dataplane import (
    ACL,
    BUCKETS,
    PROVIDER,
    SCRAM,
    USER,
    WRITERS,
    Collector,
    collectors,
    mapped_names,
    servers,
    services,
    super_users,
)
from policy.rules._values import Unknowns, each_known, finding, number, shown

_OPERATIONS = frozenset({"Read", "Write", "Create", "Describe", "DescribeConfigs", "IdempotentWrite"})
_CHANGING = frozenset({"Read", "Write", "Create", "IdempotentWrite"})
_IMPLYING_DESCRIBE = frozenset({"Read", "Write", "Describe"})
_LEAST_PASSWORD = 16
CLUSTER = "kafka-cluster"
"""Name of the one resource of kind Cluster."""
_DEFAULT_TOPICS = {"metrics": "otlp_metrics", "traces": "otlp_spans", "logs": "otlp_logs"}
"""Topics of a collector that is not told any."""


def _acl(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type != ACL:
        return
    node = resource.node
    principal, operation = node["aclPrincipal"], node["aclOperation"]
    name, kind = node["aclResourceName"], node["aclResourceType"]
    if not principal.text().startswith("User:") or principal.text() in ("User:*", "User:", "User:ANONYMOUS"):
        problem = f"aclPrincipal {shown(principal)}, which is not one user"
        yield finding(resource, principal, problem, "name one user as User:<name>")
    if node["aclPermissionType"].text() not in ("Allow", "Deny"):
        where = node["aclPermissionType"]
        yield finding(resource, where, f"aclPermissionType {shown(where)}", "set it to Allow")
    if operation.text() not in _OPERATIONS and node["aclPermissionType"].text() != "Deny":
        problem = f"aclOperation {shown(operation)}, which only administrators may do"
        yield finding(resource, operation, problem, f"use one of {', '.join(sorted(_OPERATIONS))}")
    # Who may look at the cluster sees its access rules and the names of its users.
    looks = (kind.text(), operation.text(), name.text()) == ("Cluster", "Describe", CLUSTER)
    if (
        kind.text() not in ("Topic", "Group", "TransactionalID")
        and not looks
        and node["aclPermissionType"].text() != "Deny"
    ):
        problem = f"aclResourceType {shown(kind)}, which only administrators need"
        yield finding(resource, kind, problem, "name a Topic, a Group or a TransactionalID")
    if node["aclPermissionType"].text() == "Deny" or operation.text() not in _CHANGING:
        return
    if name.text() in ("*", ""):
        doing = f"{operation.text().lower()} every {kind.text().lower()}"
        problem = f"{principal.text()} may {doing}: aclResourceName {shown(name)}"
        yield finding(resource, name, problem, "name one")
    pattern = node["resourcePatternTypeFilter"]
    if pattern.text() not in ("", "Literal"):
        problem = f"resourcePatternTypeFilter {shown(pattern)}, so {principal.text()} gets more than {name.text()}"
        yield finding(resource, pattern, problem, "set it to Literal")


def _scram_user(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type != USER:
        return
    mechanism, rounds = resource.node["scramMechanism"], resource.node["scramIterations"]
    if mechanism.text() != SCRAM:
        yield finding(resource, mechanism, f"scramMechanism {shown(mechanism)}", f"set it to {SCRAM}")
    password = resource.node["password"]
    if isinstance(password.raw, str) and len(password.raw) < _LEAST_PASSWORD:
        yield finding(resource, "password", f"the password has {len(password.raw)} characters", "let it be made")
    least = options["min_iterations"]
    if rounds.exists and (number(rounds) or 0) < least:
        problem = f"scramIterations {shown(rounds)}, less than {least}"
        yield finding(resource, rounds, problem, f"set it to at least {least}")


@dataclass(frozen=True)
class _Need:
    """What a client must be allowed.

    Attributes:
        resource: ConfigMap or Secret of the client.
        where: Where it names the user.
        user: The user.
        operations: Any of these will do.
        kind: ``Topic``, ``Group`` or ``Cluster``.
        name: Which.
    """

    resource: Resource
    where: Node
    user: str
    operations: frozenset[str]
    kind: str
    name: str


@dataclass
class _Rights:
    users: dict[str, Resource] = field(default_factory=dict)
    acls: list[Resource] = field(default_factory=list)
    supers: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    """Names of certificates, of nodes, and of administrators that providers log in as."""

    def allow(self, need: _Need) -> bool:
        """Whether a rule (or being a super user) allows it."""
        return f"User:{need.user}" in self.supers or any(
            acl.props.get("aclPrincipal") == f"User:{need.user}"
            and acl.props.get("aclPermissionType") == "Allow"
            and acl.props.get("aclResourceType") == need.kind
            and acl.props.get("aclOperation") in need.operations
            and acl.props.get("aclResourceName") in (need.name, "*")
            for acl in self.acls
        )


def _rights(resources: Sequence[Resource], unknown: Unknowns) -> _Rights:
    rights = _Rights()
    for resource in resources:
        if resource.type == USER:
            rights.users[resource.node["username"].text()] = resource
        elif resource.type == ACL:
            rights.acls.append(resource)
        elif resource.type == PROVIDER:
            rights.names.add(resource.node["saslUsername"].text())
        elif resource.kind == "Certificate":
            rights.names.add(resource.node.at("spec.commonName").text())
        else:
            for server in unknown.known(servers(resource)):
                rights.supers |= set(super_users(server))
                rights.names |= set(mapped_names(server))
    return rights


def _brokers(resources: Sequence[Resource], unknown: Unknowns) -> Resource | None:
    return next(
        (resource for resource in resources for server in unknown.known(servers(resource)) if server.broker), None
    )


def _access_exists(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    brokers = _brokers(resources, unknown)
    for token, what in ((ACL, "access rules"), (USER, "SCRAM users")):
        if brokers is not None and not any(resource.type == token for resource in resources):
            yield finding(brokers, "resources", f"there are brokers, and no {what}", f"make {what} for every client")
    unknown.tell()


def _users_agree(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    rights = _rights(resources, unknown)
    allowed = {acl.node["aclPrincipal"].text() for acl in rights.acls if acl.props.get("aclPermissionType") == "Allow"}
    for name, user in rights.users.items():
        if f"User:{name}" in rights.supers:
            problem = f"the client {name} is a super user"
            yield finding(user, "username", problem, "take it off super.users and give it access rules")
        elif f"User:{name}" not in allowed:
            yield finding(
                user, "username", f"the user {name} has no access rule", "add the rules that it needs, or remove it"
            )
    for acl in rights.acls:
        owner = acl.node["aclPrincipal"]
        if owner.text().removeprefix("User:") not in {*rights.users, *rights.names, "*"}:
            problem = f"there is no user {owner.text().removeprefix('User:')}"
            yield finding(acl, owner, problem, "make the user, or remove the rule")
    for resource in resources:
        for server in unknown.known(servers(resource)):
            for principal in super_users(server):
                if principal.removeprefix("User:") not in {*rights.users, *rights.names}:
                    problem = (
                        f"{principal} may do everything, and is neither a certificate's name nor the administrator"
                    )
                    yield finding(resource, server["super.users"], problem, "remove it")
    unknown.tell()


def _clients_have_users(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    rights = _rights(resources, unknown)
    if _brokers(resources, unknown) is not None:
        yield from each_known(_client_rights(rights, resource) for resource in resources)
    unknown.tell()


def _client_rights(rights: _Rights, resource: Resource) -> Iterator[Finding]:
    told: set[str] = set()
    for need in _needs(resource):
        if need.user not in rights.users and f"User:{need.user}" not in rights.supers:
            if need.user not in told:
                problem = f"the client logs in as {need.user}, and there is no such user"
                yield finding(resource, need.where, problem, f"make the SCRAM user {need.user} with its access rules")
            told.add(need.user)
        elif not rights.allow(need):
            doing = " or ".join(sorted(need.operations))
            problem = f"{need.user} needs {doing} on {need.kind.lower()} {need.name}, and no rule allows it"
            yield finding(resource, need.where, problem, "add the access rule")


def _needs(resource: Resource) -> Iterator[_Need]:
    for collector in collectors(resource):
        yield from _collector_needs(collector)
    for service in services(resource):
        user = next(
            (service.node[key] for key in ("username", "user", "sasl.username") if service.node[key].text()), None
        )
        if user is None:
            continue
        written = {name for _, name in service.written}
        for _, name in service.topics:
            operations = frozenset({"Write"}) if name in written else _IMPLYING_DESCRIBE
            yield _Need(resource, user, user.text(), operations, "Topic", name)
        for name in service.node["groups"].texts():
            yield _Need(resource, user, user.text(), _IMPLYING_DESCRIBE, "Group", name)
        if service.node.path.endswith("kafka_metadata"):
            # A backup of Kafka's metadata sees all of it.
            for kind in ("Topic", "Group"):
                yield _Need(resource, user, user.text(), frozenset({"Describe"}), kind, "*")
            yield _Need(resource, user, user.text(), frozenset({"DescribeConfigs"}), "Topic", "*")
            yield _Need(resource, user, user.text(), frozenset({"Describe"}), "Cluster", CLUSTER)


def _collector_needs(collector: Collector) -> Iterator[_Need]:
    for section, operation in (("receivers", "Read"), ("exporters", "Write")):
        for component in collector.components(section, *WRITERS):
            user = component.node.at("auth.username" if component.type == BUCKETS else "auth.sasl.username")
            wanted = [("Topic", topic) for topic in topics(collector, section, component.name)]
            if section == "receivers" and component.node["group_id"].text():
                wanted.append(("Group", component.node["group_id"].text()))
            for kind, name in wanted:
                yield _Need(collector.resource, user, user.text(), frozenset({operation}), kind, name)


def topics(collector: Collector, section: str, name: str) -> list[str]:
    """Topics that a collector's Kafka component really uses, by the pipelines that it is in."""
    component = collector.component(section, name)
    if component.type == BUCKETS:
        return [component.node["topic"].text()] if collector.signals(name) else []
    names: list[str] = []
    for signal, default in _DEFAULT_TOPICS.items():
        node = component.node[signal]
        if signal in collector.signals(name):
            names += node["topics"].texts() or [node["topic"].text() or default]
    return names


def _groups(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    readers: dict[str, Resource] = {}
    members: dict[str, Resource] = {}
    for resource in resources:
        if resource.kind != "Acl" or resource.node["aclOperation"].text() != "Read":
            continue
        user = resource.node["aclPrincipal"].text()
        if resource.node["aclResourceType"].text() == "Topic":
            readers.setdefault(user, resource)
        elif resource.node["aclResourceType"].text() == "Group":
            members.setdefault(user, resource)
    for user, resource in readers.items():
        if user not in members and user.removeprefix("User:") not in options["groupless"]:
            yield Finding(
                resource=resource,
                where="aclPrincipal",
                problem=f"{user} may read a topic, and no consumer group",
                fix=f"let {user} read the group that it is a member of",
            )
    for user, resource in members.items():
        if user not in readers:
            yield Finding(
                resource=resource,
                where="aclPrincipal",
                problem=f"{user} may be a member of a consumer group, and reads no topic",
                fix=f"let {user} read its topic, or remove the rule",
            )


RULES: tuple[Rule, ...] = (
    Rule(
        id="kafka-acl-narrow",
        promise="An access rule gives one user one operation on one topic or group; only looking may be on all.",
        why="A client that is taken over can do what its rules allow, and nothing else.",
        sources=("K5",),
        kinds=frozenset({"Acl"}),
        resource=_acl,
    ),
    Rule(
        id="kafka-user-scram",
        promise=f"Every user of Kafka has a {SCRAM} credential.",
        why="A stolen copy of weaker credentials is sooner turned back into passwords.",
        sources=("K5",),
        options={
            "min_iterations": Option(
                default=4096,
                schema={"type": "integer", "minimum": 4096},
                meaning="Least number of hash iterations; passwords of the platform are 32 random characters.",
            )
        },
        kinds=frozenset({"UserScramCredential"}),
        resource=_scram_user,
    ),
    Rule(
        id="kafka-access-exists",
        promise="Where there are brokers, there are users and access rules.",
        why="Without them either nobody or everybody is let in.",
        sources=("K5",),
        stack=_access_exists,
    ),
    Rule(
        id="kafka-users-agree",
        promise="Users, access rules and super users belong together, and no client is a super user.",
        why="A user without rules cannot work, a rule without a user waits for whoever takes the name.",
        sources=("K5",),
        stack=_users_agree,
    ),
    Rule(
        id="kafka-clients-allowed",
        promise="Every client of Kafka has its user, and that user may do what the client is configured for.",
        why="A client that Kafka refuses moves no telemetry, and its queue fills.",
        sources=("K5", "O5"),
        stack=_clients_have_users,
    ),
    Rule(
        id="kafka-readers-have-groups",
        promise="Whoever may read a topic may read a consumer group, and the other way round.",
        why="A consumer without its group reads nothing, and what it was to read ages in the topic.",
        sources=("K5", "O5"),
        options={
            "groupless": Option(
                default=["mirror", "mirror-maker"],
                schema={"type": "array", "items": {"type": "string"}},
                meaning="users that read without a group",
            )
        },
        stack=_groups,
    ),
)
