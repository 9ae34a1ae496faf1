"""Bounds of what is taken, so that it can be delivered (K3, O1, O5, S1, S2).

Quotas of Kafka's users, sizes that must agree, queues on disk, and collectors that are told to end only when theirs is
empty.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._dataplane import (
    BUCKETS,
    DRAIN,
    QUOTA,
    TOPIC,
    USER,
    WRITERS,
    Collector,
    Component,
    collectors,
    servers,
)
from policy.rules._kubernetes import Files, Process, processes
from policy.rules._values import FILES, Unknowns, each_known, finding, number, seconds, shown, size, stated
from policy.rules.authentication_access import topics
from policy.rules.tls_processes import is_collector

_RATES: Final = ("producer_byte_rate", "consumer_byte_rate")
_TIME: Final = "request_percentage"
_OF_USERS: Final = "user"
_MIB: Final = 2**20
_PERCENT_OF_A_THREAD: Final = 100
_NETWORK_THREADS, _IO_THREADS = 3, 8
"""Of a broker that does not say."""


def _bounded(resource: Resource, options: Options) -> Iterator[Finding]:
    if resource.type != QUOTA or resource.node["entityType"].text() != _OF_USERS:
        return
    most = options["most_mib_per_second"]
    for key in (*_RATES, _TIME):
        value = resource.node["config"][key]
        amount = number(value)
        if amount is None or not math.isfinite(amount) or amount <= 0:
            yield finding(resource, value, f"{key} {shown(value)}", "set it to a number above 0")
        elif key in _RATES and amount > most * _MIB:
            problem = f"{key} {shown(value)}, more than {most} MiB a second: no bound to a broker"
            yield finding(resource, value, problem, f"set it to at most {most * _MIB}")


def _everybody(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    unknown = Unknowns()
    users = dict(_named(resources, USER, "username", unknown))
    quotas = [
        (name, resource)
        for name, resource in _named(resources, QUOTA, "entityName", unknown)
        if resource.node["entityType"].text() == _OF_USERS
    ]
    counts = Counter(name for name, _ in quotas)
    for name, user in users.items():
        if not counts[name]:
            problem = f"the user {name} has no quota, so it can take all of a broker"
            yield finding(user, "username", problem, f"make a quota of entityType {_OF_USERS} and entityName {name}")
    for name, quota in quotas:
        if name not in users:
            yield finding(quota, "entityName", f"there is no user {name or '(none)'}", "name a user, or remove it")
        elif counts[name] > 1:
            yield finding(quota, "entityName", f"the user {name} has {counts[name]} quotas", "leave one")
    threads = min(
        (
            _threads(server["num.network.threads"], server["num.io.threads"])
            for resource in resources
            for server in unknown.known(servers(resource))
            if server.broker
        ),
        default=None,
    )
    for name, quota in quotas:
        percent = quota.node["config"][_TIME]
        if threads is not None and (number(percent) or 0) >= threads * _PERCENT_OF_A_THREAD:
            problem = f"{name} may take the time of all {threads:g} threads of a broker: {_TIME} {shown(percent)}"
            yield finding(quota, percent, problem, f"set it below {threads * _PERCENT_OF_A_THREAD:g}")
    unknown.tell()


def _named(resources: Sequence[Resource], kind: str, key: str, unknown: Unknowns) -> Iterator[tuple[str, Resource]]:
    """Resources of a kind by the value of a key."""
    yield from unknown.known((resource.node[key].text(), resource) for resource in resources if resource.type == kind)


def _threads(network: Node, io: Node) -> float:
    return (number(network) or _NETWORK_THREADS) + (number(io) or _IO_THREADS)


_PRODUCER_DEFAULT = 1_000_000
_FETCH_DEFAULT = 1_048_576
_SNAPPY = 21
"""Most that Snappy packs: 64 bytes into three."""
_HELD = 2
"""What a consumer works on, and what it fetches meanwhile."""
_KAFKA_DEFAULT = 1_048_588
_VOLATILE = ("emptyDir", "configMap", "secret", "projected", "hostPath")


def _requests(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        exporters = [component for component in collector.delivering if component.type in WRITERS]
        if not exporters:
            continue
        limit = min(_record(exporter) for exporter in exporters)
        for exporter in exporters:
            if exporter.type != BUCKETS:  # that one halves what does not fit
                yield from _batches(resource, exporter)
        yield from _accepted(collector, limit)


def _record(exporter: Component) -> float:
    return number(_largest(exporter)) or (_FETCH_DEFAULT if exporter.type == BUCKETS else _PRODUCER_DEFAULT)


def _largest(exporter: Component) -> Node:
    return exporter.node.at("max_message_bytes" if exporter.type == BUCKETS else "producer.max_message_bytes")


def _batches(resource: Resource, exporter: Component) -> Iterator[Finding]:
    batch = exporter.node.at("sending_queue.batch")
    if not batch.exists:
        return
    most, sizer = batch["max_size"], batch["sizer"]
    if sizer.text() != "bytes" or not number(most):
        where, name = (sizer, "sizer") if sizer.text() != "bytes" else (most, "max_size")
        problem = f"batches of {exporter} may outgrow a record: {name} {shown(where)}"
        yield finding(resource, where, problem, "set batch.sizer to bytes and batch.max_size below max_message_bytes")
    elif (number(most) or 0) > _record(exporter):
        problem = f"batches of {exporter} may outgrow {_record(exporter):.0f} bytes: max_size {shown(most)}"
        yield finding(resource, most, problem, "set batch.max_size below max_message_bytes")


def _accepted(collector: Collector, limit: float) -> Iterator[Finding]:
    for server in collector.receiving():
        if server.loopback:
            continue
        for key, unit, default in (("max_recv_msg_size_mib", _MIB, 4), ("max_request_body_size", 1, 20 * _MIB)):
            if (key == "max_recv_msg_size_mib") != server.what.endswith("(grpc)"):
                continue
            most = server.node[key]
            value = number(most) if most.exists else default
            if not value or value * unit > limit:
                problem = f"{server.what} takes requests that fit no record of {limit:.0f} bytes: "
                problem += f"{key} {stated(most, default)}"
                yield finding(collector.resource, most, problem, f"set {key} to at most {limit / 2 / unit:.0f}")


def _records_fit(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    topics_by_name = {resource.object_name: resource for resource in resources if resource.type == TOPIC}
    unknown = Unknowns()
    brokers = [server for resource in resources for server in unknown.known(servers(resource)) if server.broker]
    largest = max((_topic(topic) for topic in topics_by_name.values()), default=0)
    for name, topic in topics_by_name.items():
        where = topic.node["config"]["max.message.bytes"]
        if not number(where):
            yield finding(topic, where, f"max.message.bytes {shown(where)}", f"say how large a record of {name} may be")
    for server in brokers:
        fetch = server["replica.fetch.max.bytes"]
        if (number(fetch) or _FETCH_DEFAULT) < largest:
            state = f"replica.fetch.max.bytes {stated(fetch, _FETCH_DEFAULT)}"
            problem = f"copies are fetched in pieces smaller than a record of {largest:.0f} bytes: {state}"
            yield finding(server.resource, fetch, problem, f"set it to at least {largest:.0f}")
    for resource in resources:
        for collector in unknown.known(collectors(resource)):
            yield from _written(collector, topics_by_name)
    unknown.tell()


def _topic(topic: Resource) -> float:
    return number(topic.node["config"]["max.message.bytes"]) or _KAFKA_DEFAULT


def _written(collector: Collector, topics_by_name: dict[str, Resource]) -> Iterator[Finding]:
    for exporter in collector.components("exporters", *WRITERS):
        where = _largest(exporter)
        for name in topics(collector, "exporters", exporter.name):
            if name in topics_by_name and _record(exporter) > _topic(topics_by_name[name]):
                problem = f"{exporter} writes records that {name} refuses: max_message_bytes {shown(where)}"
                yield finding(
                    collector.resource, where, problem, f"set it to at most {_topic(topics_by_name[name]):.0f}"
                )


def _backlog(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    files = Files(resources)
    yield from each_known(_fetched(files, resource, options) for resource in resources)


def _fetched(files: Files, workload: Resource, options: Options) -> Iterator[Finding]:
    for process, collector in running_collectors(files, workload):
        memory = size(process.container.at("resources.limits.memory").text())
        if not memory:
            continue
        most = memory * options["share"] / (_HELD * options["brokers"] * _SNAPPY)
        for receiver in collector.components("receivers", "kafka"):
            where = receiver.node["max_fetch_size"]
            if (number(where) or _FETCH_DEFAULT) > most:
                problem = (
                    f"a backlog fills the memory of {workload.label}: max_fetch_size {stated(where, _FETCH_DEFAULT)}"
                )
                yield finding(collector.resource, where, problem, f"set it to at most {most:.0f}")


def _queues_on_disk(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    files = Files(resources)
    yield from each_known(_workload_queues(files, resource) for resource in resources)


def running_collectors(files: Files, workload: Resource) -> Iterator[tuple[Process, Collector]]:
    """Collectors of a workload, each with a configuration that it reads."""
    for process in processes(workload):
        if not is_collector(process):
            continue
        for path in process.flags("--config"):
            for located in files.at(process, path):
                for collector in collectors(located.resource):
                    if collector.document.name == located.name:
                        yield process, collector


def _workload_queues(files: Files, workload: Resource) -> Iterator[Finding]:
    for process, collector in running_collectors(files, workload):
        yield from _queue_folders(files, process, collector)


def _queue_folders(files: Files, process: Process, collector: Collector) -> Iterator[Finding]:
    paths = ("sending_queue.storage", "spill.sending_queue.storage")
    used = {component.node.at(path).text() for component in collector.delivering for path in paths} - {""}
    for name in sorted(used):
        folder = collector.component("extensions", name).node["directory"].text()
        placed = files.volume(process, folder) if folder else None
        if placed is None or any(placed[0][kind].exists for kind in _VOLATILE):
            problem = f"the queue {name} is in {folder or 'no folder'}, which is gone with the pod"
            where: Node = process.container["volumeMounts"]
            yield finding(process.resource, where, problem, "mount a volume from a claim there")


_GRACE_DEFAULT_S = 30
_LIMIT_DEFAULT = "5m"


def _drains(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    files = Files(resources)
    yield from each_known(_workload_drains(files, resource) for resource in resources)


def _workload_drains(files: Files, workload: Resource) -> Iterator[Finding]:
    for process, collector in running_collectors(files, workload):
        spilling = [exporter for exporter in collector.delivering if exporter.node["spill"].exists]
        if spilling:
            yield from _asked(process, collector)


def _asked(process: Process, collector: Collector) -> Iterator[Finding]:
    extensions = [item for item in collector.components("extensions", DRAIN) if item.name in collector.extensions]
    if not extensions:
        where = collector.node.at("service.extensions")
        problem = "nobody can ask whether its queue on disk is empty: no extension drain runs"
        yield finding(collector.resource, where, problem, "define it and list it in service.extensions")
        return
    drain = extensions[0].node
    port = drain["endpoint"].text().rpartition(":")[2]
    question = process.container["lifecycle"]["preStop"]["httpGet"]
    if f"{number(question['port']) or 0:.0f}" != port or question["scheme"].text() != "HTTPS":
        problem = f"it ends without a look at its queue on disk: preStop.httpGet {shown(question)}"
        yield finding(process.resource, question, problem, f"let preStop ask port {port} over HTTPS")
        return
    limit = seconds(drain["limit"].text() or _LIMIT_DEFAULT) or 0.0
    grace = process.pod["terminationGracePeriodSeconds"]
    if ((number(grace) if grace.exists else _GRACE_DEFAULT_S) or 0) <= limit:
        state = f"terminationGracePeriodSeconds {stated(grace, _GRACE_DEFAULT_S)}"
        problem = f"it is killed while its queue on disk drains, which may take {limit:.0f} s: {state}"
        yield finding(process.resource, grace, problem, f"give more than {limit:.0f} s, or lower limit of drain")


RULES: tuple[Rule, ...] = (
    Rule(
        id="kafka-quota-bounds",
        promise="A quota of a user bounds what it writes, what it reads, and the time of the threads.",
        why="A bound that is missing or beyond what a broker can do is none.",
        sources=("S2",),
        options={
            "most_mib_per_second": Option(
                default=1024,
                schema={"type": "integer", "minimum": 1},
                meaning="Largest byte rate of one user at one broker; 1024 is nearly all of a network of 10 Gbit/s.",
            )
        },
        kinds=frozenset({"Quota"}),
        resource=_bounded,
    ),
    Rule(
        id="kafka-users-have-quotas",
        promise="Every user of Kafka has one quota, and none may take the time of all threads.",
        why="A reader that begins again and again, or a writer gone wild, takes the brokers from all others.",
        sources=("S2", "O5"),
        stack=_everybody,
    ),
    Rule(
        id="collector-requests-fit",
        promise="A collector takes no request, and makes no batch, that does not fit a record.",
        why="Kafka refuses it for good after its sender was told that it is safe.",
        sources=("K3", "O1"),
        kinds=FILES,
        resource=_requests,
    ),
    Rule(
        id="kafka-records-fit",
        promise="What one side may write, topics take and brokers copy.",
        why="A record that is too large for the next one stops its partition or is lost.",
        sources=("K1", "K3", "O5"),
        stack=_records_fit,
    ),
    Rule(
        id="kafka-backlog-fits-memory",
        promise="A consumer's memory holds what it asks all brokers for, unpacked, while it works on as much again.",
        why="After an outage or a peak every answer is full; a consumer without memory for that never catches up.",
        sources=("O5", "K3"),
        options={
            "brokers": Option(
                default=3,
                schema={"type": "integer", "minimum": 1},
                meaning="Brokers that answer at the same time.",
            ),
            "share": Option(
                default=0.5,
                schema={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                meaning="Share of the memory limit that what was fetched may fill.",
            ),
        },
        stack=_backlog,
    ),
    Rule(
        id="collector-queue-on-volume",
        promise="Queues that hold what senders were told is safe are on a volume that outlives the pod.",
        why="A pod that is moved would leave its queue behind.",
        sources=("O1",),
        stack=_queues_on_disk,
    ),
    Rule(
        id="collector-drains-before-end",
        promise="A collector whose queue on disk drains is told to end only when it is empty, or stands still.",
        why="A pod that is taken away for good would leave on its volume what could have been in Kafka in a minute.",
        sources=("O1", "S1"),
        stack=_drains,
    ),
)
"""Rules of this concern."""
