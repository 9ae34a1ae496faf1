"""O1, O2, O3 and O5: the gateway in front of Kafka, what it masks, and the groups behind it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from components.gateway.config import DRAIN_NOW, DRAIN_PORT
from components.gateway.rules import LEFT_BEHIND
from components.masking import EXAMPLES
from components.telemetry.layers import LAYERS, TOPIC_OF_SIGNAL, Signal, layers_sending
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import NAME_LABEL, Kube, call_errors, wait_until
from ops.core.platform import Login
from ops.core.rows import Check, Finding, listed

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


def request(examples: list[Example]) -> ExportLogsServiceRequest:
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
        "logs", request(sent).SerializeToString(), context.otlp.login(layers_sending(Signal.LOGS)[0].name)
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


def o5(context: Context) -> Finding:
    """One stable group per destination, each Prometheus one of its own, with little lag."""
    finding = Finding()
    groups = list(context.platform.consumer_groups)
    shared = [
        replica for replica in context.platform.prometheus_replicas if f"metrics-consumer-{replica}" not in groups
    ]
    finding.expect(not shared, f"Prometheus {', '.join(shared)} has no consumer group of its own")
    for name, group in context.kafka.groups(groups).items():
        finding.expect(group.stable, f"group {name} is {group.state.lower()}")
        members = context.platform.prometheus_shards if name.startswith("metrics-consumer-") else 1
        finding.expect(group.members >= members, f"group {name} has {group.members} of {members} members")
        lag = context.kafka.lag(name)
        finding.expect(bool(lag), f"group {name} has committed nothing")
        total = sum(lag.values())
        finding.expect(total <= MAX_LAG, f"group {name} lags by {total} records, at most {MAX_LAG}")
        finding.figures.append(f"{name}: {group.members} member{'' if group.members == 1 else 's'}, lag {total}")
    finding.seen.append("groups described, committed offsets compared with the ends of the topics")
    finding.drill("consumer-killed")
    return finding


CHECKS: dict[str, Check] = {"O1": o1, "O2": o2, "O3": o3, "O5": o5}
