"""The attacks and forgeries of `ops drill`, against the real gateway with its real configuration."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from components.telemetry.layers import LAYERS, TOPIC_OF_SIGNAL, Signal
from ops.core.context import Context
from ops.core.web import Sample
from ops.drills.drills_users import GATE
from ops.drills.gate_attacks import ATTACKS, Attack, Counted
from ops.drills.gate_forgery import Kind, arrivals, control, forgeries, new_run
from ops.drills.gate_forgery_run import ACCEPTED, by_kind, send
from ops.drills.gate_neighbour import UNSENT
from ops.drills.gate_run import attack, attack_platform
from ops.drills.gate_senders import ATTACKER
from ops.drills.gate_target import Target
from ops.evidence.reading import named
from tests.config.gateway_process import (
    MIB,
    PASSWORDS,
    GatewayProcess,
    gateway_data,
    gateway_process,
    metrics_request,
)
from tests.config.servers import eventually
from tests.support import kafka_broker
from tests.support.kafka_broker import Broker

PATIENCE_S = 900.0
"""An attack ends by itself; what it is given here only ends a hang."""
SLOW = ("slow", "idle")
CLOSED_STACK, OPEN_STACK = (), tuple(layer.name for layer in LAYERS)


def target_of(gateway: GatewayProcess) -> Target:
    return Target(
        http=("localhost", gateway.http_port),
        grpc=("localhost", gateway.grpc_port),
        authority=(gateway.folder / "ca.crt").read_text(),
        logins={name: (name, password) for name, password in PASSWORDS.items()},
    )


def value(gateway: GatewayProcess, counter: Counted) -> float:
    """A counter as Prometheus would answer its selector."""
    total = 0.0
    for line in gateway.scrape().text.splitlines():
        match = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line)
        if match and match[1] == counter.metric:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
            if all(re.fullmatch(wanted, labels.get(key, "")) for key, wanted in counter.labels.items()):
                total += float(match[3])
    return total


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("attacked")
    with gateway_process(folder, gateway_data(folder, open_layers=())) as process:
        # A gateway knows its clients: of many that it does not, it would refuse some as `busy`.
        known = metrics_request(ATTACKER.name, name="obs_verify_probe", service__name="e2e")
        process.accept("metrics", known.SerializeToString(), ATTACKER.name)
        yield process


def carried_out(gateway: GatewayProcess, attempt: Attack) -> Counter[str]:
    """Make one attack; its counters rise, its memory is bounded, and the next client is served."""
    before = {counter.selector(): value(gateway, counter) for counter in attempt.counted}
    answers = attempt.run(target_of(gateway), time.monotonic() + PATIENCE_S)
    for counter in attempt.counted:
        eventually(
            lambda counter=counter: value(gateway, counter) >= before[counter.selector()] + counter.at_least,  # type: ignore[misc]
            60,
            f"{counter.selector()} rises by {counter.at_least}",
        )
    served = metrics_request("streaming", name="obs_verify_probe", service__name="e2e")
    gateway.accept("metrics", served.SerializeToString(), "streaming")
    assert gateway.peak_memory() < 400 * MIB, "less than the smallest container may have"
    return answers


@pytest.mark.parametrize(
    "attempt",
    [attack for attack in ATTACKS if not attack.name.startswith(SLOW)],
    ids=lambda attack: attack.name.replace(" ", "-"),
)
@pytest.mark.timeout(1800)
def test_an_attack_gets_its_answer_and_is_counted(gateway: GatewayProcess, attempt: Attack) -> None:
    answers = carried_out(gateway, attempt)
    assert answers
    assert set(answers) <= attempt.answers, answers


@pytest.mark.drill
@pytest.mark.parametrize(
    "attempt",
    [attack for attack in ATTACKS if attack.name.startswith(SLOW)],
    ids=lambda attack: attack.name.replace(" ", "-"),
)
@pytest.mark.timeout(1800)
def test_slow_and_idle_connections_are_ended(gateway: GatewayProcess, attempt: Attack) -> None:
    answers = carried_out(gateway, attempt)
    assert answers
    assert set(answers) <= attempt.answers, answers


def test_a_device_within_its_budget_goes_on_while_another_exceeds_its_own(gateway: GatewayProcess) -> None:
    [budget] = [attack for attack in ATTACKS if attack.name.endswith("its budget")]
    answers = carried_out(gateway, budget)
    assert answers["200"] == 1
    assert answers["400"] == 9
    other = metrics_request("device", name="obs_verify_probe", service__name="e2e", device_id="another")
    gateway.accept("metrics", other.SerializeToString(), "device")


@pytest.mark.timeout(900)
def test_the_client_beside_an_attack_is_watched(gateway: GatewayProcess) -> None:
    cheap = [attack for attack in ATTACKS if attack.name in ("deflate", "zstd window")]
    outcome = attack(target_of(gateway), lambda counter: value(gateway, counter), cheap, counted_s=60.0, quiet_s=2.0)
    assert outcome.problems() == []
    figures = outcome.figures()
    assert figures["attacks tried"] == len(figures["attacks"]) == 2
    assert outcome.quiet.requests > 0
    assert outcome.whole.requests > 0
    # A request whose turn does not come is the machine's, not the gateway's.
    assert set(outcome.whole.failures) <= {UNSENT}
    assert outcome.whole.p95_s > 0


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_a_client_of_another_layer_is_served_while_bodies_that_unpack_stall(gateway: GatewayProcess) -> None:
    stalling = [attack for attack in ATTACKS if attack.name == "slow bodies that unpack"]
    outcome = attack(target_of(gateway), lambda counter: value(gateway, counter), stalling, counted_s=60.0, quiet_s=2.0)
    assert outcome.problems() == []
    assert outcome.whole.requests > 0
    assert set(outcome.whole.failures) <= {UNSENT}
    assert gateway.peak_memory() < 400 * MIB


class Pods:
    """Kubernetes, as far as the drill asks it: one gateway, its Service and its node."""

    namespace = "obs-test"

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self.core = self

    def list_namespaced_service(self, namespace: str, **_: Any) -> Any:
        assert namespace == self.namespace
        return SimpleNamespace(items=[])  # Loopback needs none.

    def list_namespaced_pod(self, namespace: str, label_selector: str, **_: Any) -> Any:
        assert (namespace, label_selector) == (self.namespace, "app.kubernetes.io/name=gateway")
        container = SimpleNamespace(resources=SimpleNamespace(limits={"memory": "512Mi"}))
        status = SimpleNamespace(restart_count=0, name="otelcol", last_state=None, state=None)
        return SimpleNamespace(
            items=[
                SimpleNamespace(
                    metadata=SimpleNamespace(name="gateway-0", uid="1"),
                    status=SimpleNamespace(container_statuses=[status]),
                    spec=SimpleNamespace(containers=[container]),
                )
            ]
        )

    def list_node(self, **_: Any) -> Any:
        return SimpleNamespace(items=[SimpleNamespace(metadata=SimpleNamespace(name="node"))])

    def connect_get_node_proxy_with_path(self, node: str, path: str, **_: Any) -> str:
        assert (node, path) == ("node", "metrics/resource")
        labels = f'container="otelcol",namespace="{self.namespace}",pod="gateway-0"'
        return (
            "# TYPE container_memory_working_set_bytes gauge\n"
            f"container_memory_working_set_bytes{{{labels}}} {self._gateway.peak_memory()}\n"
        )


class ReadAddress:
    """Thanos, as far as the drill asks it: the gateway's own metrics."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway

    def number(self, expression: str) -> float | None:
        metric, _, rest = expression.rstrip("}").partition("{")
        labels = dict(re.findall(r'(\w+)=~"([^"]*)"', rest))
        assert labels.pop("job") == "gateway"
        return value(self._gateway, Counted(metric=metric, labels=labels))

    def instant(self, expression: str) -> list[Sample]:
        assert re.fullmatch(r'max_over_time\(otelcol_process_memory_rss_bytes\{job="gateway"\}\[\d+s\]\)', expression)
        return [Sample(labels={}, time=0.0, value=float(self._gateway.peak_memory()))]


@pytest.mark.timeout(900)
def test_the_drill_of_the_platform_has_every_figure_of_its_report(gateway: GatewayProcess) -> None:
    target = target_of(gateway)
    platform = SimpleNamespace(
        namespace=Pods.namespace,
        otlp_http=f"https://localhost:{target.http[1]}",
        otlp_grpc=f"localhost:{target.grpc[1]}",
        ca_certificate=target.authority,
        otlp_credentials={name: SimpleNamespace(pair=login) for name, login in target.logins.items()},
    )
    context = SimpleNamespace(platform=platform, kube=Pods(gateway), thanos=ReadAddress(gateway))
    cheap = [attack for attack in ATTACKS if attack.name in ("attributes of a record", "gRPC messages over the limit")]
    figures: dict[str, Any] = {}
    assert attack_platform(cast(Context, context), figures, cheap, quiet_s=1.0) == []
    [drill] = [drill for drill in GATE if drill.name == "gate-attacks"]
    wanted = {name for texts in drill.figures.values() for text in texts for name in named(text)}
    assert wanted <= set(figures)
    assert figures["attacks tried"] == 2
    assert (figures["gateway restarts"], figures["gateways ended for want of memory"]) == (0, 0)
    assert 0 < figures["memory peak, share of the limit"] < 0.8


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka_broker.running(tmp_path_factory.mktemp("forged-kafka")) as running:
        running.create_topics(TOPIC_OF_SIGNAL.values(), 4)
        yield running


def records(broker: Broker, topic: str) -> Iterator[bytes]:
    """Every record of a topic."""
    reader = Consumer(broker.client(**{"group.id": "forgery", "enable.auto.commit": False}))
    try:
        ends = {
            partition: reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=60)[1]
            for partition in range(4)
        }
        reader.assign([TopicPartition(topic, partition, 0) for partition, end in ends.items() if end])
        left = sum(ends.values())
        deadline = time.monotonic() + 120
        while left and time.monotonic() < deadline:
            for message in reader.consume(500, timeout=1.0):
                assert message.error() is None, message.error()
                left -= 1
                yield message.value() or b""
        assert left == 0
    finally:
        reader.close()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("open_layers", [CLOSED_STACK, OPEN_STACK], ids=["closed", "open"])
def test_no_reserved_name_arrives_under_its_meaning(
    broker: Broker, tmp_path: Path, open_layers: tuple[str, ...]
) -> None:
    run = new_run()
    with gateway_process(tmp_path, gateway_data(tmp_path, broker=broker, open_layers=open_layers)) as gateway:
        target = target_of(gateway)
        answers = send(target, forgeries(run))
        controls = [control(run, layer, signal) for layer in LAYERS for signal in Signal if layer.may_send(signal)]
        assert {answered.answer for answered in send(target, controls)} == {ACCEPTED}
    wrong = [
        (answered.forgery.kind.value, answered.forgery.layer, answered.forgery.name, answered.answer, answered.reason)
        for answered in answers
        if not answered.told
    ]
    assert wrong == []
    counts: Mapping[str, Mapping[str, int]] = by_kind(answers)
    assert all(counts[kind.value]["tried"] > 0 for kind in Kind)
    arrived = [
        arrival
        for signal, topic in TOPIC_OF_SIGNAL.items()
        for record in records(broker, topic)
        for arrival in arrivals(signal, record, run)
    ]
    let_in = sum(answered.answer == ACCEPTED for answered in answers)
    assert len(arrived) == let_in + len(controls)
    assert {arrival.layer for arrival in arrived} == {layer.name for layer in LAYERS}
    assert [wrong for arrival in arrived for wrong in arrival.violations] == []
