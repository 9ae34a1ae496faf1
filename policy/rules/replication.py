"""Copies of every record: brokers, internal topics and topics (requirements K1, K2); and how long Kafka keeps them
(K4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._dataplane import TOPIC, WRITERS, Server, clients, collectors, servers, services, words
from policy.rules._values import DAY_MS, FILES, Unknowns, finding, flag, number, shown, stated
from policy.rules.authentication_access import topics

_COPIES = {
    "min_replication_factor": Option(
        default=3, schema={"type": "integer", "minimum": 1}, meaning="Least number of copies of every record."
    ),
    "min_insync_replicas": Option(
        default=2,
        schema={"type": "integer", "minimum": 1},
        meaning="Least number of copies that must have a record before it counts as written.",
    ),
}
_INTERNAL = ("transaction.state.log", "share.coordinator.state.topic")
_SNAPSHOTS = "metadata.log.max.snapshot.interval.ms"
_HOUR_MS = 3_600_000
_TOPICS = {
    "telemetry-metrics": 12,
    "telemetry-traces": 8,
    "telemetry-logs": 6,
    "alerts-raw": 4,
    "alerts-processed": 2,
    "audit": 1,
}


@dataclass(frozen=True)
class _Count:
    """A number of copies: where it is set, under which name, and what holds where it is not."""

    node: Node
    name: str
    default: int

    @property
    def value(self) -> float:
        """What holds."""
        parsed_number = number(self.node)
        return self.default if parsed_number is None else parsed_number

    def below(self, resource: Resource, least: int) -> Iterator[Finding]:
        """Whether it is too small."""
        if self.value < least:
            problem = f"{self.name} {stated(self.node, self.default)}, less than {least}"
            yield finding(resource, self.node, problem, f"set it to at least {least}")


def _broker_copies(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):

        def count(name: str, default: int, server: Server = server) -> _Count:
            return _Count(server[name], name, default)

        yield from _copies(resource, count("default.replication.factor", 1), count("min.insync.replicas", 1), options)
        yield from count("offsets.topic.replication.factor", 3).below(resource, options["min_replication_factor"])
        for topic in _INTERNAL:
            factor, in_sync = count(f"{topic}.replication.factor", 3), count(f"{topic}.min.isr", 2)
            yield from _copies(resource, factor, in_sync, options)


def _topic_copies(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type == TOPIC:
        factor = _Count(resource.node["replicationFactor"], "replicationFactor", 1)
        in_sync = _Count(resource.node["config"]["min.insync.replicas"], "min.insync.replicas", 1)
        yield from _copies(resource, factor, in_sync, options)


def _copies(resource: Resource, factor: _Count, in_sync: _Count, options: Options) -> Iterator[Finding]:
    yield from factor.below(resource, options["min_replication_factor"])
    yield from in_sync.below(resource, options["min_insync_replicas"])
    if in_sync.value >= factor.value:
        problem = (
            f"{in_sync.value:g} of {factor.value:g} copies must be there to write, so one lost broker stops all writing"
        )
        yield finding(resource, in_sync.node, problem, "require fewer copies than there are")


def _unclean(resource: Resource, options: Options) -> Iterator[Finding]:
    nodes = [server["unclean.leader.election.enable"] for server in servers(resource)]
    if resource.type == TOPIC:
        own = resource.node["config"]["unclean.leader.election.enable"]
        if not own.exists:
            problem = (
                "unclean.leader.election.enable is not set, so an operator can switch it on for every topic at once"
            )
            yield finding(resource, own, problem, "set it to false")
        nodes.append(own)
    for node in nodes:
        if node.exists and flag(node) is not False:
            yield finding(resource, node, f"unclean.leader.election.enable {shown(node)}", "set it to false")


def _auto_creation(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        node = server["auto.create.topics.enable"]
        if flag(node) is not False:
            problem = f"auto.create.topics.enable {stated(node, 'true')}"
            yield finding(resource, node, problem, "set it to false")


def _steady_brokers(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        stop = server["controlled.shutdown.enable"]
        if stop.exists and flag(stop) is not True:
            problem = (
                f"controlled.shutdown.enable {shown(stop)}, so every restart drops the partitions that a broker leads"
            )
            yield finding(resource, stop, problem, "set it to true")
        folder = server["log.dirs" if server["log.dirs"].exists else "log.dir"]
        if not folder.text() or folder.text().startswith("/tmp"):
            where = folder if folder.exists else server["log.dirs"]
            problem = f"records are kept in a folder that a restart empties: log.dirs {shown(folder)}"
            yield finding(resource, where, problem, "set it to a folder on the broker's volume")


def _metadata_snapshots(resource: Resource, options: Options) -> Iterator[Finding]:
    most = options["most_ms"]
    for server in servers(resource):
        node = server[_SNAPSHOTS]
        value = number(node)
        if value is None or not 0 < value <= most:
            problem = f"{_SNAPSHOTS} {stated(node, _HOUR_MS)}, not from 1 to {most}"
            yield finding(resource, node, problem, f"set it to {most} or less")


def _acks(resource: Resource, options: Options) -> Iterator[Finding]:
    for client in clients(resource):
        node = client["acks"]
        if node.exists and node.text() not in ("all", "-1"):
            problem = f"acks {shown(node)}, so a record counts as written before it has its copies"
            yield finding(resource, node, problem, "set it to all")
        idempotence = client["enable.idempotence"]
        if idempotence.exists and flag(idempotence) is False:
            problem = f"enable.idempotence {shown(idempotence)}, so a repeated send is written twice and out of order"
            yield finding(resource, idempotence, problem, "remove it")


def _topics_exist(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    topics_by_name = {resource.object_name: resource for resource in resources if resource.type == TOPIC}
    unknown = Unknowns()
    brokers = next(
        (resource for resource in resources for server in unknown.known(servers(resource)) if server.broker), None
    )
    if brokers is None and not topics_by_name:
        return
    for name, partitions in options["topics"].items():
        if name not in topics_by_name:
            problem = f"there is no topic {name}"
            yield Finding(
                resource=brokers, where="topics", problem=problem, fix=f"make it with {partitions} partitions"
            )
        elif (number(topics_by_name[name].node["partitions"]) or 0) < partitions:
            where = topics_by_name[name].node["partitions"]
            problem = f"partitions {shown(where)}, less than {partitions}"
            yield finding(
                topics_by_name[name], where, problem, f"set it to at least {partitions}; keys move when it grows"
            )
    for resource in resources:
        for where, name in unknown.known(_named_topics(resource)):
            if name not in topics_by_name and brokers is not None:
                yield finding(resource, where, f"there is no topic {name}", "make the topic, or name one that there is")
    unknown.tell()


def _named_topics(resource: Resource) -> Iterator[tuple[Node, str]]:
    """Topics that collectors and services are configured for."""
    for collector in collectors(resource):
        for section in ("receivers", "exporters"):
            for component in collector.components(section, *WRITERS):
                for name in topics(collector, section, component.name):
                    yield component.node, name
    for service in services(resource):
        yield from service.topics


def _apart(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    nodes = [(one, server) for one in resources for server in unknown.known(servers(one))]
    roles = [{*words(server["process.roles"])} for _, server in nodes]
    for (resource, server), played in zip(nodes, roles, strict=True):
        if {"controller"} in roles and len(played) > 1:
            problem = "a broker under load also votes, although the stack has controllers of its own"
            yield finding(resource, server["process.roles"], problem, "set it to broker or to controller")
    unknown.tell()


_DAYS = {
    "telemetry-metrics": 30,
    "telemetry-traces": 7,
    "telemetry-logs": 14,
    "alerts-raw": 30,
    "alerts-processed": 30,
    "audit": 400,
}
_WEEK_MINUTES = 7 * 24 * 60


def _topic_retention(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type != TOPIC:
        return
    config = resource.node["config"]
    days = options["topic_days"].get(resource.object_name, options["other_topics_days"])
    kept = config["retention.ms"]
    amount = number(kept)
    if amount is not None and amount < 0:
        yield finding(
            resource, kept, f"retention.ms {shown(kept)}: nothing is ever deleted", f"set it to {days * DAY_MS}"
        )
    elif amount is None or amount < days * DAY_MS:
        problem = f"retention.ms {shown(kept)}, less than {days * DAY_MS} ({days} d)"
        yield finding(resource, kept, problem, f"set it to at least {days * DAY_MS}")
    policy = config["cleanup.policy"]
    if policy.text() != "delete":
        problem = f"cleanup.policy {shown(policy)}"
        yield finding(resource, policy, problem, "set it to delete")
    limit = config["retention.bytes"]
    if limit.exists and number(limit) != -1:
        problem = f"retention.bytes {shown(limit)}, so records go before their time when there are many"
        yield finding(resource, limit, problem, "remove it")


def _broker_retention(resource: Resource, options: Options) -> Iterator[Finding]:
    for server in servers(resource):
        limit = server["log.retention.bytes"]
        if limit.exists and number(limit) != -1:
            problem = f"log.retention.bytes {shown(limit)}, so records go before their time when there are many"
            yield finding(resource, limit, problem, "remove it")
        offsets = server["offsets.retention.minutes"]
        if offsets.exists and (number(offsets) or 0) < _WEEK_MINUTES:
            problem = f"offsets.retention.minutes {shown(offsets)}, less than {_WEEK_MINUTES}"
            yield finding(resource, offsets, problem, "remove it")


RULES: tuple[Rule, ...] = (
    Rule(
        id="kafka-roles-apart",
        promise="Where Kafka has controllers of its own, no broker is one as well.",
        why="Brokers that vote change who has the majority, and lose elections under the load of telemetry.",
        sources=("K1",),
        stack=_apart,
    ),
    Rule(
        id="kafka-broker-replication",
        promise="Brokers keep three copies by default and of Kafka's own topics, and two must have a record.",
        why="One lost broker would take acknowledged records, offsets or transactions with it, or stop all writing.",
        sources=("K1",),
        options=_COPIES,
        kinds=FILES,
        resource=_broker_copies,
    ),
    Rule(
        id="kafka-topic-replication",
        promise="Every topic has three copies, and two must have a record before it counts as written.",
        why="One lost broker would take acknowledged records with it, or stop all writing.",
        sources=("K1", "K2"),
        options=_COPIES,
        kinds=frozenset({"Topic"}),
        resource=_topic_copies,
    ),
    Rule(
        id="kafka-unclean-election",
        promise="Only a copy that has every acknowledged record becomes leader.",
        why="A copy that is behind would cut the others down to what it has: acknowledged records are gone.",
        sources=("K1",),
        kinds=frozenset({*FILES, "Topic"}),
        resource=_unclean,
    ),
    Rule(
        id="kafka-auto-creation",
        promise="No node makes topics by itself.",
        why="A misspelt name would make a topic with the wrong copies, retention and rights, and swallow telemetry.",
        sources=("K1",),
        kinds=FILES,
        resource=_auto_creation,
    ),
    Rule(
        id="kafka-steady-brokers",
        promise="Brokers hand over before they stop, and keep records on their volume.",
        why="Each restart would be an outage, or lose a copy of everything.",
        sources=("K1",),
        kinds=FILES,
        resource=_steady_brokers,
    ),
    Rule(
        id="kafka-metadata-snapshots",
        promise="Nodes write a snapshot of their metadata, logins with it, every few minutes.",
        why="A node of Kafka 4.3 that starts from a log with a removed login, and no snapshot, refuses every login.",
        sources=("K5",),
        options={
            "most_ms": Option(
                default=600_000,
                schema={"type": "integer", "minimum": 1},
                meaning="Longest time between two snapshots, in milliseconds.",
            )
        },
        kinds=FILES,
        resource=_metadata_snapshots,
    ),
    Rule(
        id="kafka-client-acks",
        promise="Java producers wait for every copy in sync.",
        why="A leader that dies takes with it what only it had.",
        sources=("K3",),
        kinds=FILES,
        resource=_acks,
    ),
    Rule(
        id="kafka-topics-exist",
        promise="Every topic of the platform, and every one that a client is configured for, is made.",
        why="Topics are never made by themselves, so telemetry for a missing one is refused.",
        sources=("K2",),
        options={
            "topics": Option(
                default=_TOPICS,
                schema={"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
                meaning="Topics that must exist, and their least number of partitions.",
            )
        },
        stack=_topics_exist,
    ),
    Rule(
        id="kafka-topic-retention",
        promise="Topics keep records for as long as agreed, then delete them.",
        why="Who reads late, after an outage or to look back, finds a gap; what is never deleted fills the disks.",
        sources=("K4",),
        options={
            "topic_days": Option(
                default=_DAYS,
                schema={"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
                meaning="Days that each topic keeps records for, at least.",
            ),
            "other_topics_days": Option(
                default=1, schema={"type": "integer", "minimum": 1}, meaning="Days for topics that are not listed."
            ),
        },
        kinds=frozenset({"Topic"}),
        resource=_topic_retention,
    ),
    Rule(
        id="kafka-broker-retention",
        promise="Brokers delete records by age only, and remember a group's position for a week.",
        why="A burst would push out records that nobody has read, and a group that was away would start anew.",
        sources=("K4", "O5"),
        kinds=FILES,
        resource=_broker_retention,
    ),
)
