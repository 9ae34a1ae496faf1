"""O1 to O3, O5: the gateways in front of Kafka, what they mask, and the groups behind it; K1 to K4, K6: Kafka; S1: the
number of pods follows their use, and sizes of containers are recommended from it.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from components.gateway.config import DRAIN_NOW, DRAIN_PORT
from components.gateway.rules import LEFT_BEHIND
from components.masking import EXAMPLES
from components.telemetry.attributes import KEY_ATTRIBUTES
from components.telemetry.layers import LAYERS, TOPIC_OF_SIGNAL, Signal, layers_sending
from components.telemetry.topics import TOPICS
from ops.core import otlp
from ops.core.autoscalers import Autoscalers, recommendations
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import NAME_LABEL, Kube, call_errors, wait_until
from ops.core.platform import Login
from ops.core.rows import Check, Finding, lasting, listed

_TOPIC = TOPIC_OF_SIGNAL[Signal.LOGS]
_EXAMPLE = "ops.verify.example"
_ARRIVAL_SECONDS = 30.0

Example = tuple[str, str, str]
"""Name, text, and what must not be readable in it; empty: the text has to stay as it is."""


def examples() -> Iterator[Example]:
    """Dirty and clean examples of all rules."""
    for rule in EXAMPLES:
        for number, (text, secret) in enumerate(rule.dirty):
            yield f"{rule.id}-dirty-{number}", text, secret
        for number, text in enumerate(rule.clean):
            yield f"{rule.id}-clean-{number}", text, ""


def example_request(examples: list[Example]) -> ExportLogsServiceRequest:
    """One log record per example, the text as its body."""
    layer = layers_sending(Signal.LOGS)[0].name
    export_request = ExportLogsServiceRequest()
    group = export_request.resource_logs.add()
    group.resource.attributes.extend(otlp.attributes(otlp.resource_of(layer, "ops-verify", "ops-verify", "ops-verify")))
    records = group.scope_logs.add().log_records
    for name, text, _ in examples:
        record = records.add(time_unix_nano=time.time_ns(), attributes=otlp.attributes({_EXAMPLE: name}))
        record.body.string_value = text
    return export_request


def bodies(value: bytes) -> Iterator[tuple[str, str]]:
    """Name and body of the examples in a Kafka record."""
    for group in ExportLogsServiceRequest.FromString(value).resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records:
                for attribute in record.attributes:
                    if attribute.key == _EXAMPLE:
                        yield attribute.value.string_value, record.body.string_value


def o3(context: Context) -> Finding:
    """Every rule masks its examples and leaves alone what only resembles them."""
    finding = Finding()
    sent = list(examples())
    positions = context.kafka.end_offsets(_TOPIC)
    status, _ = context.otlp.post(
        "logs", example_request(sent).SerializeToString(), context.otlp.login(layers_sending(Signal.LOGS)[0].name)
    )
    if status != 200:
        raise OpsError(f"the gateway answered {status} to the examples")
    arrived: dict[str, str] = {}

    def whole() -> bool:
        for record in context.kafka.read(_TOPIC, positions, 5.0):
            positions[record.partition()] = record.offset() + 1
            arrived.update(bodies(record.value()))
        return len(arrived) == len(sent)

    took = wait_until(whole, _ARRIVAL_SECONDS, "the examples in Kafka", 0.5)
    leaks = [name for name, _, secret in sent if secret and secret in arrived[name]]
    harmed = [name for name, text, secret in sent if not secret and arrived[name] != text]
    finding.expect(not leaks, f"readable in Kafka: {listed(leaks)}")
    finding.expect(not harmed, f"changed although they contain nothing sensitive: {listed(harmed)}")
    dirty = sum(bool(secret) for _, _, secret in sent)
    finding.figures.append(
        f"{len(leaks)} of {dirty} secrets readable, {len(harmed)} of {len(sent) - dirty} others changed"
    )
    finding.seen.append(f"examples of {len(EXAMPLES)} rules, in Kafka after {took:.0f} s")
    finding.drill("masking-kafka", "masking-stores", "privacy-erasure")
    return finding


WORKLOAD = "gateway"
GATEWAYS = 2
MAX_LAG = 2_000
COUNTED_SECONDS = 75.0
_PROBE = "obs_verify_probe"
FOREIGN_LAYER, UNKNOWN_LAYER, REFUSED_SIGNAL = "layer_foreign", "layer_unknown", "signal"
"""Reasons of the gate, as `otelcol_gate_refused_items_total` has them."""


def probe(layer: str) -> ExportMetricsServiceRequest:
    """One harmless point of ``layer``."""
    return otlp.gauge(otlp.resource_of(layer, "ops-verify", "ops-verify"), _PROBE, [(time.time_ns(), 1.0, {})])


def o1(context: Context) -> Finding:
    """Two ready gateways; gRPC and HTTP answer over TLS, only to clients that sign in; none ends with a full disk."""
    finding = Finding()
    pods = context.kube.pods(WORKLOAD)
    ready = [pod for pod in pods if pod.ready]
    finding.expect(len(ready) >= GATEWAYS, f"{len(ready)} gateways are ready, must be {GATEWAYS}")
    layer = LAYERS[0].name
    user, password = context.otlp.login(layer)
    body = probe(layer).SerializeToString()
    wrong = (user, secrets.token_urlsafe(12))
    for who, auth, status in (
        ("signed in", (user, password), 200),
        ("anonymous", None, 401),
        ("wrong password", wrong, 401),
    ):
        finding.expect_equal(f"OTLP/HTTP {who}", context.otlp.post("metrics", body, auth)[0], status)
    logins = {
        "signed in": (context.platform.otlp_credentials[layer], "OK"),
        "anonymous": (None, "UNAUTHENTICATED"),
        "wrong password": (Login.model_validate({"username": user, "password": wrong[1]}), "UNAUTHENTICATED"),
    }
    for who, (login, code) in logins.items():
        finding.expect_equal(
            f"OTLP/gRPC ({context.platform.otlp_grpc}) {who}", context.otlp.grpc_code(probe(layer), login), code
        )
    finding.figures.append(f"{len(ready)} of {len(pods)} gateways ready")
    finding.seen.append("HTTP 200 and gRPC OK when signed in, 401 and UNAUTHENTICATED otherwise, TLS verified")
    _ends(context, finding, [pod.name for pod in ready])
    finding.drill(
        "gateway-killed",
        "gateway-drained",
        "kafka-outage",
        "client-clock-set",
        "gate-attacks",
        "fairness",
        "gateway-passwords-rotated",
    )
    return finding


def _ends(context: Context, finding: Finding, ready: list[str]) -> None:
    """Kubernetes asks each gateway before it ends; nothing is left on any disk, nor did one that is gone leave any."""
    for pod, port in questions(context.kube).items():
        finding.expect_equal(f"preStop port of {pod}", port, DRAIN_PORT)
    with ThreadPoolExecutor(max(len(ready), 1)) as pool:
        for reason in pool.map(lambda pod: reason_to_stay(context, pod), ready):
            finding.expect(not reason, reason)
    left = context.thanos.number(LEFT_BEHIND) or 0.0
    finding.expect(not left, f"removed gateways left {left:.0f} bytes on their volumes: GatewayQueueLeftBehind")
    finding.seen.append(f"{len(ready)} gateways report that they may terminate, {left:.0f} bytes left by removed ones")


def questions(kube: Kube) -> dict[str, int | None]:
    """Gateway's pod -> port at which Kubernetes asks it over HTTPS before it tells it to end; None: nowhere."""
    with call_errors(f"cannot list the pods of {WORKLOAD}"):
        items = kube.core.list_namespaced_pod(
            kube.namespace, label_selector=f"{NAME_LABEL}={WORKLOAD}", _request_timeout=15
        ).items
    ports: dict[str, int | None] = {}
    for item in items:
        hooks = [container.lifecycle.pre_stop for container in item.spec.containers if container.lifecycle]
        asked_at = [hook.http_get for hook in hooks if hook and hook.http_get and hook.http_get.scheme == "HTTPS"]
        ports[item.metadata.name] = int(asked_at[0].port) if asked_at else None
    return ports


def reason_to_stay(context: Context, pod: str) -> str:
    """Why a gateway may not end, by what Kubernetes asks before it ends; empty where it may."""
    try:
        with context.web.call("GET", context.tunnels.url(pod, DRAIN_PORT) + DRAIN_NOW) as response:
            status, text = response.status_code, response.text
    except OpsError as error:
        return f"{pod} does not report whether it may terminate: {error}"
    return "" if status == 200 else f"{pod} may not terminate: {status} {one_line(text)}"


def refused(context: Context, reason: str) -> float:
    """Items that the gates have refused so far for a reason."""
    return context.thanos.number(f'otelcol_gate_refused_items_total{{job="gateway",reason="{reason}"}}') or 0.0


def o2(context: Context) -> Finding:
    """Counters per layer and topic; forbidden telemetry is refused, counted, and its client told."""
    finding = Finding()
    thanos = context.thanos
    before = {reason: refused(context, reason) for reason in (UNKNOWN_LAYER, FOREIGN_LAYER, REFUSED_SIGNAL)}
    device = LAYERS[0].name
    resource = otlp.resource_of(device, "ops-verify", "ops-verify")
    forbidden = {
        REFUSED_SIGNAL: ("traces", otlp.span(resource, "forbidden").SerializeToString()),
        UNKNOWN_LAYER: ("metrics", probe("no-such-layer").SerializeToString()),
        FOREIGN_LAYER: ("metrics", probe(LAYERS[1].name).SerializeToString()),
    }
    for reason, (signal, body) in forbidden.items():
        status, answer = context.otlp.post(signal, body, context.otlp.login(device))
        finding.expect_equal(f"response to a request refused for {reason}", status, 400)
        finding.expect(reason.encode() in answer, f"the response does not name {reason}: {answer!r}")
    for layer in LAYERS:
        count = thanos.number(f'otelcol_gate_accepted_items_total{{job="gateway",layer="{layer.name}"}}')
        finding.expect(bool(count), f"no item of layer {layer.name} is counted")
        finding.figures.append(f"{layer.name} {count or 0:.0f}")
    for signal in (Signal.METRICS, Signal.TRACES):
        topic = TOPIC_OF_SIGNAL[signal]
        count = thanos.number(f'otelcol_kafkabuckets_items_total{{job="gateway",topic="{topic}"}}')
        finding.expect(bool(count), f"nothing is counted for {topic}")
        finding.figures.append(f"{topic} {count or 0:.0f}")
    for reason, old in before.items():

        def counted(reason: str = reason, old: float = old) -> bool:
            return refused(context, reason) > old

        took = wait_until(counted, COUNTED_SECONDS, f"{reason} to count", 2.0)
        finding.seen.append(f"{reason} counted the probe after {took:.0f} s")
    finding.drill("gate-forgery")
    return finding


REBALANCED_S = 30.0
"""Until a group whose members come or go, for example by an autoscaler, is stable again."""


def unsettled(context: Context, groups: Sequence[str]) -> dict[str, str]:
    """What is wrong with groups now -> nothing more."""
    problems = []
    for name, group in context.kafka.groups(groups).items():
        members = context.platform.prometheus_shards if name.startswith("metrics-consumer-") else 1
        if not group.stable:
            problems.append(f"group {name} is {group.state.lower()}")
        if group.members < members:
            problems.append(f"group {name} has {group.members} of {members} members")
    return dict.fromkeys(problems, "")


def o5(context: Context) -> Finding:
    """One stable group per destination, each Prometheus one of its own, with little lag."""
    finding = Finding()
    groups = list(context.platform.consumer_groups)
    shared = [
        replica for replica in context.platform.prometheus_replicas if f"metrics-consumer-{replica}" not in groups
    ]
    finding.expect(not shared, f"Prometheus {', '.join(shared)} has no consumer group of its own")
    for problem in lasting(lambda: unsettled(context, groups), REBALANCED_S):
        finding.wrong.append(problem)
    for name, group in context.kafka.groups(groups).items():
        lag = context.kafka.lag(name)
        finding.expect(bool(lag), f"group {name} has committed nothing")
        total = sum(lag.values())
        finding.expect(total <= MAX_LAG, f"group {name} lags by {total} records, at most {MAX_LAG}")
        finding.figures.append(f"{name}: {group.members} member{'' if group.members == 1 else 's'}, lag {total}")
    finding.seen.append("groups described, committed offsets compared with the ends of the topics")
    finding.drill("consumer-killed")
    return finding


BROKERS = 3
"""At least; each has an address of its own."""
REPLICATION = 3
MIN_IN_SYNC = 2
RECORDS_PER_PARTITION = 300

_TOPIC_SETTINGS = {"min.insync.replicas": str(MIN_IN_SYNC), "unclean.leader.election.enable": "false"}
_BROKER_SETTINGS = {
    "default.replication.factor": str(REPLICATION),
    "min.insync.replicas": str(MIN_IN_SYNC),
    "unclean.leader.election.enable": "false",
    "auto.create.topics.enable": "false",
}
_TOPIC_NAMES = [topic.name for topic in TOPICS]
_MESSAGES: dict[str, tuple[Any, str]] = {
    "telemetry-metrics": (ExportMetricsServiceRequest, "resource_metrics"),
    "telemetry-traces": (ExportTraceServiceRequest, "resource_spans"),
    "telemetry-logs": (ExportLogsServiceRequest, "resource_logs"),
}


def k1(context: Context) -> Finding:
    """Brokers, replication and the settings that keep acknowledged records."""
    finding = Finding()
    brokers = context.kafka.brokers()
    wanted_brokers = max(BROKERS, len(context.platform.kafka_bootstrap.split(",")))
    finding.expect_equal("number of live brokers", len(brokers), wanted_brokers)
    for broker, settings in context.kafka.broker_settings(brokers).items():
        for key, wanted in _BROKER_SETTINGS.items():
            finding.expect_equal(f"{key} of broker {broker}", settings.get(key), wanted)
        finding.expect("broker" in settings.get("process.roles", ""), f"broker {broker} does not run KRaft")
    for topic, settings in context.kafka.topic_settings(_TOPIC_NAMES).items():
        for key, wanted in _TOPIC_SETTINGS.items():
            finding.expect_equal(f"{key} of {topic}", settings.get(key), wanted)
    topics = context.kafka.topics()
    for name in _TOPIC_NAMES:
        lowest = min(topics[name].in_sync, default=0) if name in topics else 0
        finding.expect(lowest >= MIN_IN_SYNC, f"{name} has a partition with {lowest} replicas in sync")
    zones = context.kafka.zones()
    close = closer_than_needed(context.kafka.placed(), zones)
    finding.expect(
        not close,
        f"{len(close)} partitions have replicas in one zone that could be in several, for example {listed(close[:3])}: "
        "`ops kafka rebalance`",
    )
    finding.figures.append(f"{len(brokers)} brokers, RF {REPLICATION}, min ISR {MIN_IN_SYNC}")
    finding.figures.append(f"zones {listed(sorted(set(zones.values())))}" if zones else "no broker has a zone")
    finding.seen.append(f"described brokers {listed(brokers)} and {len(_TOPIC_NAMES)} topics")
    finding.drill(
        "broker-killed",
        "two-brokers-killed",
        "broker-disk-full",
        "broker-disk-slow",
        "kafka-rolling-restart",
        "zone-gone",
        "chaos",
    )
    return finding


def closer_than_needed(placed: Mapping[tuple[str, int], Sequence[int]], zones: Mapping[int, str]) -> list[str]:
    """Partitions whose copies are in fewer zones than they could be.

    Args:
        placed: Topic and number of a partition -> its brokers.
        zones: Broker -> its zone, of those that know it.
    """
    there = len(set(zones.values()))
    return [
        f"{topic}-{number}"
        for (topic, number), brokers in sorted(placed.items())
        if set(brokers) <= set(zones) and len({zones[broker] for broker in brokers}) < min(there, len(brokers))
    ]


def k2(context: Context) -> Finding:
    """Topics, partitions, replication."""
    finding = Finding()
    topics = context.kafka.topics()
    for topic in TOPICS:
        state = topics.get(topic.name)
        if state is None:
            finding.wrong.append(f"topic {topic.name} does not exist")
            continue
        # Partitions may have been added from configuration (K6); they never become fewer.
        finding.expect(
            state.partitions >= topic.partitions,
            f"{topic.name} has {state.partitions} partitions, must have {topic.partitions}",
        )
        finding.expect_equal(f"replicas of {topic.name}", set(state.replicas), {REPLICATION})
        finding.figures.append(f"{topic.name} {state.partitions}")
    finding.seen.append(f"described {len(TOPICS)} topics, every partition has {REPLICATION} replicas")
    return finding


def k3(context: Context) -> Finding:
    """Records decode as OTLP, are keyed by bucket, and one identity stays in one partition."""
    finding = Finding()
    # Where a key goes depends on the number of partitions, which a gateway takes when it starts (K6).
    since_ms = 1000 * max((pod.started for pod in context.kube.pods("gateway")), default=0.0)
    for topic, (message_type, field) in _MESSAGES.items():
        settings = context.kafka.topic_settings([topic]).get(topic, {})
        finding.expect_equal(f"compression.type of {topic}", settings.get("compression.type"), "snappy")
        records = resources = 0
        places: dict[str, set[int]] = defaultdict(set)
        keys: dict[bytes, set[int]] = defaultdict(set)
        for record in context.kafka.read_last(topic, RECORDS_PER_PARTITION):
            if record.timestamp()[1] < since_ms:
                continue
            records += 1
            decoded = message_type.FromString(record.value())
            if not record.key():
                finding.expect(False, f"{topic}/{record.partition()} has a record without a key")
                break
            keys[record.key()].add(record.partition())
            for identity in identities(getattr(decoded, field), traces=topic == "telemetry-traces"):
                resources += 1
                places[identity].add(record.partition())
        split = [identity for identity, partitions in places.items() if len(partitions) > 1]
        torn = [key for key, partitions in keys.items() if len(partitions) > 1]
        finding.expect(records > 0, f"{topic} has no records")
        finding.expect(not torn, f"{topic}: {len(torn)} keys are in several partitions")
        finding.expect(not split, f"{topic}: {len(split)} of {len(places)} identities are in several partitions")
        used = len(set().union(*places.values())) if places else 0
        finding.figures.append(f"{topic}: {records} records, {len(places)} identities in {used} partitions")
    _producers(context, finding)
    finding.seen.append("read from the ends of all partitions and decoded as OTLP")
    return finding


def _producers(context: Context, finding: Finding) -> None:
    """The gateways write with the exporter that has acks=all and Snappy and nothing else, and wait for its result."""
    config = yaml.safe_load(context.kube.config_map("gateway")["config.yaml"])
    exporters = {name: exporter for name, exporter in config["exporters"].items() if name.startswith("kafka")}
    finding.expect(len(exporters) >= len(_MESSAGES), f"the gateway has only {len(exporters)} Kafka exporters")
    for name, exporter in exporters.items():
        finding.expect_equal(f"kind of exporter {name}", name.partition("/")[0], "kafkabuckets")
        finding.expect_equal(
            f"wait_for_result of {name}", exporter.get("sending_queue", {}).get("wait_for_result"), True
        )
    finding.seen.append(
        f"{len(exporters)} exporters of the running gateway's configuration are kafkabuckets: acks=all and Snappy "
        "cannot be set otherwise"
    )


def identities(groups: Any, *, traces: bool) -> Iterator[str]:
    """What decides the partition: the trace id of spans, else the first key attribute that a resource has."""
    for group in groups:
        if traces:
            for scope in group.scope_spans:
                for span in scope.spans:
                    yield span.trace_id.hex()
            continue
        values = {attribute.key: attribute.value.string_value for attribute in group.resource.attributes}
        yield next((f"{key}={values[key]}" for key in KEY_ATTRIBUTES if values.get(key)), "none")


def k4(context: Context) -> Finding:
    """Retention of every topic."""
    finding = Finding()
    settings = context.kafka.topic_settings(_TOPIC_NAMES)
    for topic in TOPICS:
        milliseconds = settings.get(topic.name, {}).get("retention.ms")
        finding.expect_equal(f"retention.ms of {topic.name}", milliseconds, str(topic.retention_ms))
        finding.figures.append(f"{topic.name} {topic.retention_days} d")
    finding.seen.append("described the topics' effective settings")
    return finding


def unread(context: Context, groups: Sequence[str], with_records: Mapping[str, set[int]]) -> dict[str, str]:
    """Group and topic -> partitions with records of which it has committed nothing, where it reads the topic at all."""
    left = {}
    for group in groups:
        committed = context.kafka.committed(group)
        for topic, partitions in with_records.items():
            read = {partition for name, partition in committed if name == topic}
            if read and (missing := sorted(partitions - read)):
                left[f"{group}, {topic}"] = listed(missing)
    return left


TAKEN_S = 120.0
"""Until a group has committed of a partition that is new, or that got its first record just now."""


def k6(context: Context) -> Finding:
    """Every partition that has records is read by every group of its topic, also those that were added."""
    finding, groups = Finding(), context.platform.consumer_groups
    with_records = {
        topic.name: {partition for partition, end in context.kafka.end_offsets(topic.name).items() if end}
        for topic in TOPICS
    }
    left = lasting(lambda: unread(context, groups, with_records), TAKEN_S)
    for who, partitions in left.items():
        finding.wrong.append(f"{who}: nothing consumed from partitions {partitions}")
    finding.seen.append(f"compared the ends of all partitions with the offsets of {len(groups)} groups")
    finding.drill("partitions-added")
    return finding


FIRST_SIZES_S = 600
"""So long after its first pod a workload has a recommended size: two looks of the recommender, and of what it reads."""


def s1(context: Context) -> Finding:
    """Every autoscaler knows what its pods use, and has as many as its bounds allow."""
    finding = Finding()
    scalers = Autoscalers(context.kube).all()
    if not scalers:
        finding.set_up(
            "no workload has an autoscaler",
            "bounds in settings.autoscaling.horizontal, `pulumi up --policy-pack policy`",
        )
    for scaler in scalers:
        finding.expect(not scaler.problem, f"the autoscaler of {scaler.name} does not work: {scaler.problem}")
        finding.expect(
            scaler.minimum <= scaler.pods <= scaler.maximum,
            f"{scaler.name} has {scaler.pods} pods, its autoscaler allows {scaler.minimum} to {scaler.maximum}",
        )
        used = "usage unknown" if scaler.percent is None else f"{scaler.percent} % of the request used"
        bounds = f"{scaler.minimum} to {scaler.maximum}"
        finding.figures.append(f"{scaler.name}: {scaler.pods} of {bounds} pods, {used}, target {scaler.target} %")
    full = [scaler.name for scaler in scalers if scaler.minimum < scaler.maximum == scaler.pods]
    if full:
        finding.seen.append(f"at their maximum: {', '.join(full)}")
    _sizes(context.kube, finding)
    finding.drill("gateways-autoscaled", "partitions-added", "storage-grown", "broker-added")
    return finding


def _sizes(kube: Kube, finding: Finding) -> None:
    """Every workload that runs has recommended sizes, and no vertical autoscaler changes a pod."""
    there = recommendations(kube)
    if not there:
        finding.set_up(
            "no sizes are recommended",
            "autoscaling.recommendations in the stack file, `pulumi up --policy-pack policy`",
        )
        return
    changing = [one.workload for one in there if one.mode != "Off"]
    finding.expect(not changing, f"a vertical autoscaler may change the pods of {listed(changing)}")
    for one in there:
        if one.problem or (one.pods and not one.given):
            started = min((pod.started for pod in kube.pods(one.workload) if pod.started), default=0.0)
            since = max(one.since, datetime.fromtimestamp(started, UTC))
            what = f"recommended sizes of {one.workload}"
            # The recommender calls a workload that it does not know yet an unsupported one, until its next look.
            why = (
                f"no sizes are recommended for {one.workload}: {one.problem}" if one.problem else f"{what} are missing"
            )
            finding.expect_by(since + timedelta(seconds=FIRST_SIZES_S), False, what, why)
    given = [one for one in there if one.given]
    small = [f"{size.workload}/{size.container}" for one in given for size in one.sizes if size.below]
    finding.figures.append(f"sizes recommended for {len(given)} of {len(there)} workloads")
    if small:
        finding.seen.append(f"requests below the recommendation: {listed(small)}")


CHECKS: dict[str, Check] = {
    "K1": k1,
    "K2": k2,
    "K3": k3,
    "K4": k4,
    "K6": k6,
    "O1": o1,
    "O2": o2,
    "O3": o3,
    "O5": o5,
    "S1": s1,
}
