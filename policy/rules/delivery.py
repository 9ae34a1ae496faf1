"""At-least-once through collectors: nobody hears that telemetry was taken before it is safe (K3, O1, O5).

Traces that a sampler keeps are not lost on their last step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from policy.model import Finding, Node, Option, Options, Resource, Rule
from policy.rules._dataplane import BUCKETS, READER, RECORDS, Collector, Component, Pipeline, collectors
from policy.rules._values import FILES, Unknowns, finding, flag, number, seconds, shown, stated

_BATCHING = frozenset({"batch", "groupbytrace", "tail_sampling"})
_KEYS = {
    "metrics": "partition_metrics_by_resource_attributes",
    "traces": "partition_traces_by_id",
    "logs": "partition_logs_by_resource_attributes",
}


def _producer(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for exporter in collector.components("exporters", "kafka"):
            producer = exporter.node["producer"]
            acks = producer["required_acks"]
            if acks.text() not in ("-1", "all"):
                problem = f"{exporter} does not wait for every copy in sync: required_acks {stated(acks, '1')}"
                yield finding(resource, acks, problem, "set producer.required_acks to -1")
            creation = producer["allow_auto_topic_creation"]
            if flag(creation) is not False:
                problem = f"{exporter} makes topics: allow_auto_topic_creation {stated(creation, 'true')}"
                yield finding(resource, creation, problem, "set producer.allow_auto_topic_creation to false")
            timeout = exporter.node["timeout"]
            if (seconds(timeout.text() or "5s") or 0) < options["min_timeout_s"]:
                problem = f"{exporter} gives up before Kafka notices a dead broker: timeout {stated(timeout, '5s')}"
                yield finding(resource, timeout, problem, f"set timeout to at least {options['min_timeout_s']}s")
        for exporter in collector.components("exporters", BUCKETS):
            spill = exporter.node["spill"]
            path, default = ("spill.timeout", "15s") if spill.exists else ("timeout", "5s")
            timeout = exporter.node.at(path)
            if (seconds(timeout.text() or default) or 0) < options["min_timeout_s"]:
                problem = f"{exporter} gives up before Kafka notices a dead broker: {path} {stated(timeout, default)}"
                yield finding(resource, timeout, problem, f"set {path} to at least {options['min_timeout_s']}s")


def _keys(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for exporter in collector.components("exporters", "kafka"):
            for signal, key in _KEYS.items():
                node, used = exporter.node[key], signal in collector.signals(exporter.name)
                if flag(node) is False or (used and flag(node) is not True):
                    problem = f"{exporter} spreads {signal} without a key: {key} {stated(node, 'false')}"
                    yield finding(resource, node, problem, f"set {key} to true")
            compression = exporter.node.at("producer.compression")
            if compression.text() != "snappy":
                problem = f"{exporter} does not write Snappy: compression {shown(compression)}"
                yield finding(resource, compression, problem, "set producer.compression to snappy")


def _outage(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for exporter in collector.delivering:
            if exporter.type == BUCKETS:
                yield from _waits(resource, exporter)
                yield from _spills(collector, exporter)


def _waits(resource: Resource, exporter: Component) -> Iterator[Finding]:
    queue = exporter.node["sending_queue"]
    waits, storage = queue["wait_for_result"], queue["storage"]
    if flag(queue["enabled"]) is False:
        problem = f"{exporter} makes a record of every request: sending_queue.enabled {shown(queue['enabled'])}"
        yield finding(resource, queue["enabled"], problem, "remove it")
    if flag(waits) is not True:
        problem = f"{exporter} does not say that it waits for Kafka: wait_for_result {shown(waits)}"
        yield finding(resource, waits, problem, "set sending_queue.wait_for_result to true")
    if storage.text():
        problem = f"{exporter} writes everything to disk before Kafka has it: storage {shown(storage)}"
        yield finding(resource, storage, problem, "remove it; the disk is for spill.sending_queue")


def _spills(collector: Collector, exporter: Component) -> Iterator[Finding]:
    queue = exporter.node.at("spill.sending_queue")
    if not queue["storage"].text():
        problem = f"{exporter} refuses everything while Kafka is away: spill.sending_queue.storage "
        problem += shown(queue["storage"])
        fix = "set spill.sending_queue.storage to a file_storage extension"
        yield finding(collector.resource, queue["storage"], problem, fix)
        return
    yield from _stored(collector, exporter, queue["storage"])


def _marking(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for receiver in collector.components("receivers", "kafka"):
            yield from _marks(resource, receiver)
            yield from _reads(resource, receiver)
            yield from _session(resource, receiver, options["min_session"])


def _marks(resource: Resource, receiver: Component) -> Iterator[Finding]:
    marking = receiver.node["message_marking"]
    after, on_error, refused = marking["after"], marking["on_error"], marking["on_permanent_error"]
    if flag(after) is not True:
        problem = f"{receiver} counts records as read before they are delivered: after {stated(after, 'false')}"
        yield finding(resource, after, problem, "set message_marking.after to true")
    if on_error.exists and flag(on_error) is not False:
        problem = f"{receiver} counts records as read that were not delivered: on_error {shown(on_error)}"
        yield finding(resource, on_error, problem, "set message_marking.on_error to false")
    if flag(refused) is not True and flag(on_error) is not True:
        state = f"on_permanent_error {stated(refused, 'on_error')}"
        problem = f"{receiver} stops for good at a record that is refused for good: {state}"
        yield finding(resource, refused, problem, "set message_marking.on_permanent_error to true")


def _reads(resource: Resource, receiver: Component) -> Iterator[Finding]:
    node = receiver.node
    offset, group, commit = node["initial_offset"], node["group_id"], node.at("autocommit.enable")
    if offset.text() != "earliest":
        problem = f"{receiver} skips what came before its first start: initial_offset {stated(offset, 'latest')}"
        yield finding(resource, offset, problem, "set initial_offset to earliest")
    if not group.text():
        problem = f"{receiver} has no group of its own: group_id {shown(group)}, which is otel-collector"
        yield finding(resource, group, problem, "set group_id to the name of the workload")
    if commit.exists and flag(commit) is not True:
        problem = f"{receiver} never tells Kafka how far it has read: autocommit.enable {shown(commit)}"
        yield finding(resource, commit, problem, "set autocommit.enable to true")
    backoff = node["error_backoff"]
    if flag(backoff["enabled"]) is not True:
        problem = f"{receiver} does not try again: error_backoff.enabled {stated(backoff['enabled'], 'false')}"
        yield finding(resource, backoff["enabled"], problem, "set error_backoff.enabled to true")
    elif (number(backoff["multiplier"]) or 0) < 1:
        state = f"error_backoff.multiplier {stated(backoff['multiplier'], '0')}"
        problem = f"{receiver} waits once, and then tries as fast as it can: {state}"
        yield finding(resource, backoff["multiplier"], problem, "set error_backoff.multiplier to 1.5")
    yield from _endless(resource, backoff, f"{receiver}: error_backoff")


def _session(resource: Resource, receiver: Component, least: str) -> Iterator[Finding]:
    """The receiver never resumes a partition whose processing a lost session cut short."""
    session, member = receiver.node["session_timeout"], receiver.node["group_instance_id"]
    if (seconds(session.text() or "10s") or 0) < (seconds(least) or 0):
        state = f"session_timeout {stated(session, '10s')}"
        problem = f"{receiver} reads no more after an outage of Kafka that is longer than its session: {state}"
        yield finding(resource, session, problem, f"set session_timeout to at least {least}")
    elif not member.text():
        problem = f"the next {receiver} waits until the session of the last one ends: group_instance_id {shown(member)}"
        yield finding(resource, member, problem, "set group_instance_id to a name that a restart keeps")


def _retries(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for exporter in collector.delivering:
            if exporter.type == RECORDS:
                continue
            retry = exporter.node["retry_on_failure"]
            if retry["enabled"].exists and flag(retry["enabled"]) is not True:
                problem = f"{exporter} does not try again: retry_on_failure.enabled {shown(retry['enabled'])}"
                yield finding(resource, retry["enabled"], problem, "set retry_on_failure.enabled to true")
            # Whoever hears of the failure keeps the telemetry.
            told = flag(exporter.node["sending_queue"]["wait_for_result"]) is True
            if not told or any(collector.components("receivers", "kafka")):
                yield from _endless(resource, retry, f"{exporter}: retry_on_failure")


def _endless(resource: Resource, retry: Node, what: str) -> Iterator[Finding]:
    limit = retry["max_elapsed_time"]
    # A limit that is left out is 5 minutes.
    if seconds(limit.text()) != 0:
        problem = f"{what} gives up, and what it holds is lost: max_elapsed_time {stated(limit, '5m')}"
        yield finding(resource, limit, problem, "set max_elapsed_time to 0")


def _early_answers(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for pipeline in collector.carrying:
            yield from _batching(resource, pipeline)
        for exporter in collector.delivering:
            yield from _queue(collector, exporter)


def _batching(resource: Resource, pipeline: Pipeline) -> Iterator[Finding]:
    if pipeline.signal == "traces" and pipeline.sampling:
        return
    for processor in pipeline.node["processors"].elements():
        if processor.text().split("/", 1)[0] in _BATCHING:
            problem = f"processor {processor.text()} answers before anything is delivered"
            yield finding(resource, processor, problem, "remove it; batch in the exporter's sending_queue")


def _queue(collector: Collector, exporter: Component) -> Iterator[Finding]:
    queue, resource = exporter.node["sending_queue"], collector.resource
    if exporter.type == RECORDS or flag(queue["enabled"]) is False or flag(queue["wait_for_result"]) is True:
        return
    storage = queue["storage"]
    if not storage.text():
        problem = f"{exporter} answers before anything is delivered: its sending_queue is in memory"
        fix = "set sending_queue.storage to a file_storage extension, or sending_queue.enabled to false"
        yield finding(resource, storage, problem, fix)
        return
    yield from _stored(collector, exporter, storage)


def _stored(collector: Collector, exporter: Component, storage: Node) -> Iterator[Finding]:
    """Whether the storage of a queue is there, and keeps what it is given."""
    resource = collector.resource
    extension = collector.component("extensions", storage.text())
    if not extension.node.exists or extension.name not in collector.extensions:
        problem = f"the queue of {exporter} is kept by {storage.text()}, which does not run"
        yield finding(resource, storage, problem, "define the extension and list it in service.extensions")
    elif flag(extension.node["fsync"]) is not True:
        where = extension.node["fsync"]
        problem = f"a machine that fails loses the last of what {exporter} has queued: fsync {stated(where, 'false')}"
        yield finding(resource, where, problem, "set fsync to true")


def _memory(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for pipeline in collector.entries:
            processors = pipeline.node["processors"]
            first = processors[0].text()
            limited = first.split("/", 1)[0] == "memory_limiter"
            if _handing_over(pipeline):
                if limited:
                    problem = (
                        f"pipeline {pipeline.name} refuses what its receiver holds all the same: a backlog stands still"
                    )
                    yield finding(resource, processors, problem, "remove memory_limiter; max_fetch_size is the limit")
                continue
            if not limited:
                problem = f"pipeline {pipeline.name} takes telemetry without regard to memory"
                yield finding(resource, processors, problem, "make memory_limiter its first processor")
                continue
            yield from _limits(resource, collector.component("processors", first), options["max_memory_percentage"])


def _handing_over(pipeline: Pipeline) -> bool:
    """Whether it holds nothing but what its receiver asked Kafka for and waits to be rid of."""
    ends = [*pipeline.node["receivers"].texts(), *pipeline.node["exporters"].texts()]
    return all(name.split("/", 1)[0] in ("kafka", READER, RECORDS) for name in ends)


def _limits(resource: Resource, limiter: Component, most: float) -> Iterator[Finding]:
    interval, share = limiter.node["check_interval"], limiter.node["limit_percentage"]
    if not seconds(interval.text()):
        problem = f"{limiter.name} never looks: check_interval {shown(interval)}"
        yield finding(resource, interval, problem, "set check_interval to 500ms")
    if not number(share) and not number(limiter.node["limit_mib"]):
        problem = f"{limiter.name} has no limit: limit_percentage {shown(share)}"
        yield finding(resource, share, problem, f"set limit_percentage to at most {most:g}")
    elif (number(share) or 0) > most:
        problem = f"{limiter.name} refuses too late: limit_percentage {shown(share)}, more than {most:g}"
        yield finding(resource, share, problem, f"set limit_percentage to at most {most:g}")


def _errors(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for section in ("processors", "connectors"):
            for component in collector.components(section):
                mode = component.node["error_mode"]
                if mode.exists and mode.text() != "propagate":
                    problem = f"{component} passes over its own errors: error_mode {shown(mode)}"
                    yield finding(resource, mode, problem, "set error_mode to propagate")


def _own_groups(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    members: dict[str, dict[str, Resource]] = {}
    unknown = Unknowns()
    for resource in resources:
        for collector in unknown.known(collectors(resource)):
            for receiver in collector.components("receivers", "kafka"):
                group = receiver.node["group_id"]
                shards = members.setdefault(group.text() or "otel-collector", {})
                owner = _same_part(shards, _shard(receiver.node))
                if owner is None:
                    shards[_shard(receiver.node)] = resource
                elif owner is not resource:
                    problem = f"{receiver} shares group {group.text() or 'otel-collector'} with {owner.label}"
                    yield finding(resource, group, problem, "set group_id to the name of the workload")
    unknown.tell()


def _shard(receiver: Node) -> str:
    """The part of every topic that a receiver is given; empty where it takes what the group gives it."""
    return receiver["shard"]["index"].text() if receiver["group_rebalance_strategy"].text() == "sharded" else ""


def _same_part(shards: Mapping[str, Resource], shard: str) -> Resource | None:
    """Who of a group may be given the same partitions: one of the same shard, or one of none."""
    if not shard:
        return next(iter(shards.values()), None)
    return shards.get(shard) or shards.get("")


_CONFIGS = frozenset({"ConfigMap", "Secret"})


def _kept(resource: Resource, options: Options) -> Iterator[Finding]:
    for collector in collectors(resource):
        for exporter in _behind_samplers(collector):
            retry, queue = exporter.node["retry_on_failure"]["enabled"], exporter.node["sending_queue"]
            if retry.exists and flag(retry) is not True:
                problem = f"{exporter} does not try again: retry_on_failure.enabled {shown(retry)}"
                yield finding(resource, retry, problem, "set retry_on_failure.enabled to true")
            if flag(queue["block_on_overflow"]) is not True:
                state = shown(queue["block_on_overflow"])
                problem = f"{exporter} drops what its queue cannot take: block_on_overflow {state}"
                yield finding(
                    resource, queue["block_on_overflow"], problem, "set sending_queue.block_on_overflow to true"
                )


def _behind_samplers(collector: Collector) -> Iterator[Component]:
    sampling = [pipeline for pipeline in collector.pipelines if pipeline.signal == "traces" and pipeline.sampling]
    names = dict.fromkeys(name for pipeline in sampling for name in pipeline.node["exporters"].texts())
    for exporter in collector.sending():
        if exporter.name in names:
            yield exporter


RULES: tuple[Rule, ...] = (
    Rule(
        id="collector-producer-acks",
        promise="Collectors wait until every copy in sync has a record, outlast a broker's death, and make no topics.",
        why="What was acknowledged to the sender would be gone with one broker.",
        sources=("K1", "K3"),
        options={
            "min_timeout_s": Option(
                default=10,
                schema={"type": "number", "minimum": 1},
                meaning="Least timeout of a send, in seconds: Kafka notices a dead broker after 9.",
            )
        },
        kinds=FILES,
        resource=_producer,
    ),
    Rule(
        id="collector-kafka-outage",
        promise="A gateway answers when Kafka has a request; while Kafka is away, when its disk has.",
        why="Answering earlier loses telemetry with the pod; having no disk refuses everybody in every outage.",
        sources=("K1", "O1"),
        kinds=FILES,
        resource=_outage,
    ),
    Rule(
        id="collector-record-keys",
        promise="Records are compressed by Snappy and keyed by device, service or trace.",
        why="Without keys the order per device is lost, and the spans of one trace reach different consumers.",
        sources=("K3",),
        kinds=FILES,
        resource=_keys,
    ),
    Rule(
        id="collector-marks-after-delivery",
        promise="Collectors count a record as read once it is delivered, and try until it is.",
        why="A restart or an outage of the destination would lose what was read and not delivered.",
        sources=("O5",),
        options={
            "min_session": Option(
                default="20m",
                schema={"type": "string"},
                meaning="Longest outage of Kafka that a consumer must survive.",
            )
        },
        kinds=FILES,
        resource=_marking,
    ),
    Rule(
        id="collector-endless-retries",
        promise="Exporters on the way of telemetry never give up.",
        why="An outage longer than the limit loses everything that was taken meanwhile.",
        sources=("O1", "O5"),
        kinds=FILES,
        resource=_retries,
    ),
    Rule(
        id="collector-no-early-answer",
        promise="Nothing on the way of telemetry answers before it is delivered or on disk.",
        why="The sender forgets what a collector then loses by a restart.",
        sources=("O1", "O5"),
        kinds=FILES,
        resource=_early_answers,
    ),
    Rule(
        id="collector-memory-limit",
        promise="Collectors refuse telemetry in time when memory is short; one that only hands records over does not.",
        why="A collector that is killed for its memory loses what it holds and comes back to the same load.",
        sources=("O1", "O5"),
        options={
            "max_memory_percentage": Option(
                default=85,
                schema={"type": "number", "minimum": 1, "maximum": 100},
                meaning="Most of the memory limit to use.",
            )
        },
        kinds=FILES,
        resource=_memory,
    ),
    Rule(
        id="collector-errors-count",
        promise="An error in routing, filtering or transforming refuses the telemetry.",
        why="Telemetry would pass unfiltered and unmasked, or vanish without a count.",
        sources=("O1", "O2", "O3"),
        kinds=FILES,
        resource=_errors,
    ),
    Rule(
        id="collector-own-group",
        promise="Every destination has a consumer group of its own.",
        why="Two destinations in one group get half of the telemetry each.",
        sources=("O5",),
        stack=_own_groups,
    ),
    Rule(
        id="collector-kept-traces",
        promise="A sampler's exporter tries again, and holds back instead of dropping.",
        why="The traces that were kept are the ones that matter, and nobody sends them a second time.",
        sources=("O4", "J1"),
        kinds=_CONFIGS,
        resource=_kept,
    ),
)
