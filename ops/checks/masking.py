"""O3: the examples of every masking rule go through the live gateway, and nothing of them is readable in Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from components.masking.examples import EXAMPLES
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal, layers_sending
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import wait_until
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


CHECKS: dict[str, Check] = {"O3": o3}
