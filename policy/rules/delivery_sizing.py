"""Sizes that must agree and queues that must be on disk, so that what was taken can be delivered (K3, O1, O5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._collector import BUCKETS, WRITERS, Collector, Component, collectors
from policy.rules._commands import Files, Process, processes
from policy.rules._kafka import TOPIC, servers
from policy.rules._values import Unknowns, each_known, finding, number, shown, size, stated
from policy.rules.authentication_access import topics
from policy.rules.tls_processes import is_collector

_FILES = frozenset({"ConfigMap", "Secret"})
_MIB = 1024 * 1024
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


RULES: tuple[Rule, ...] = (
    Rule(
        id="collector-requests-fit",
        promise="A collector takes no request, and makes no batch, that does not fit a record.",
        why="Kafka refuses it for good after its sender was told that it is safe.",
        sources=("K3", "O1"),
        kinds=_FILES,
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
)
