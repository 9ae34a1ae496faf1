"""What the drills of the gate make of what they see: answers, counters, memory, arrivals."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kubernetes import client
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from components.telemetry.layers import LAYERS, Signal
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.platform import parse
from ops.drills import gate_senders, gate_target
from ops.drills.gate_attacks import ATTACKS, Counted
from ops.drills.gate_forgery import Kind, Violation, arrivals, control, forgeries, marker, new_run
from ops.drills.gate_forgery_run import log_problems, series_problems, trace_problems
from ops.drills.gate_neighbour import Sample, Service, service
from ops.drills.gate_run import Gateways, Outcome, restarts, working_sets

RUN = "bcdfghjklm"


def outcome(answers: Mapping[str, int], rise: float) -> Outcome:
    attack = ATTACKS[0]
    return Outcome(
        attack=attack,
        answers=answers,
        seconds=1.0,
        counted={attack.counted[0].selector(): rise},
        neighbour=Service(requests=10, failures={}, p95_s=0.1, worst_s=0.2),
    )


def test_an_attack_that_is_answered_and_counted_as_it_must_be_is_no_problem() -> None:
    assert outcome({"400": 20}, 20).problems() == []


@pytest.mark.parametrize(
    ("answers", "rise", "problem"),
    [
        ({"200": 1, "400": 19}, 20, "gzip bomb: 1 times 200"),
        ({}, 20, "gzip bomb: no answer at all"),
        ({"400": 20}, 9, "rose by 9, must by 10 or more"),
    ],
)
def test_an_attack_that_is_not_is_named(answers: Mapping[str, int], rise: float, problem: str) -> None:
    [said] = outcome(answers, rise).problems()
    assert problem in said


def test_every_attack_is_bounded_and_named_once() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert all(0 < attack.limit_s <= 180 for attack in ATTACKS)
    assert all(attack.answers for attack in ATTACKS)


def test_a_counter_is_a_selector_of_a_job() -> None:
    counter = Counted(metric="refused_total", labels={"reason": "depth|size"})
    assert counter.selector("gateway") == 'refused_total{job=~"gateway",reason=~"depth|size"}'


def test_the_neighbours_failures_are_counted_by_answer_within_a_span() -> None:
    samples = [Sample(at=float(at), seconds=at / 10, answer="200") for at in range(20)]
    samples += [Sample(at=5.0, seconds=9.0, answer="503"), Sample(at=30.0, seconds=9.0, answer="reset")]
    within = service(samples, 0.0, 20.0)
    assert within == Service(requests=21, failures={"503": 1}, p95_s=1.9, worst_s=9.0)
    assert within.failed == 1
    assert service(samples[:20]).p95_s == 1.8, "19 of 20, not the slowest"
    assert service([]) == Service(requests=0, failures={}, p95_s=0.0, worst_s=0.0)


def test_a_gateway_that_was_started_again_or_replaced_is_counted() -> None:
    before = Gateways(restarts={"a": ("1", 0), "b": ("2", 3), "c": ("3", 0)}, killed=frozenset(), limits={})
    after = Gateways(restarts={"a": ("1", 2), "b": ("9", 0)}, killed=frozenset(), limits={})
    assert restarts(before, before) == 0
    assert restarts(before, after) == 4


def test_memory_is_that_of_the_gateways_containers_in_their_namespace() -> None:
    text = (
        "# TYPE container_memory_working_set_bytes gauge\n"
        'container_memory_working_set_bytes{container="c",namespace="obs",pod="gateway-0"} 1e+06 1700000000000\n'
        'container_memory_working_set_bytes{container="d",namespace="obs",pod="gateway-0"} 2e+06 1700000000000\n'
        'container_memory_working_set_bytes{container="c",namespace="other",pod="gateway-0"} 4e+06 1700000000000\n'
        'container_memory_working_set_bytes{container="c",namespace="obs",pod="kafka-0"} 8e+06 1700000000000\n'
    )
    assert working_sets(text, "obs", frozenset(("gateway-0",))) == {"gateway-0": 3e6}


def kube_of(address: str) -> Kube:
    """The Services of a namespace: the gateway's, and one of somebody else."""

    def listed(namespace: str, **_: Any) -> Any:
        assert namespace == "obs-local"
        ingress = [client.V1LoadBalancerIngress(ip=address)]
        status = client.V1ServiceStatus(load_balancer=client.V1LoadBalancerStatus(ingress=ingress))
        own = client.V1ServiceSpec(selector={"app.kubernetes.io/name": "gateway"}, cluster_ips=["10.0.0.9"])
        foreign = client.V1ServiceSpec(selector={"app.kubernetes.io/name": "kafka"}, cluster_ips=["10.0.0.8"])
        return client.V1ServiceList(
            items=[client.V1Service(spec=own, status=status), client.V1Service(spec=foreign, status=status)]
        )

    core = SimpleNamespace(list_namespaced_service=listed)
    return cast(Kube, SimpleNamespace(core=core, namespace="obs-local"))


def test_only_an_address_of_the_own_gateways_is_attacked(outputs: dict[str, Any]) -> None:
    platform = parse(outputs)
    own = cast(Context, SimpleNamespace(platform=platform, kube=kube_of("198.18.0.20")))
    target = gate_target.own_target(own)
    assert (target.http, target.grpc) == (("198.18.0.20", 4318), ("198.18.0.20", 4317))
    foreign = cast(Context, SimpleNamespace(platform=platform, kube=kube_of("198.18.0.99")))
    with pytest.raises(OpsError, match=r"198\.18\.0\.20, which is no address of the Services of gateway"):
        gate_target.own_target(foreign)


def test_loopback_may_be_attacked(outputs: dict[str, Any]) -> None:
    outputs |= {"otlp_http": "https://localhost:4318", "otlp_grpc": "127.0.0.1:4317"}
    platform = parse(outputs)
    context = cast(Context, SimpleNamespace(platform=platform, kube=kube_of("198.18.0.99")))
    assert gate_target.own_target(context).http == ("localhost", 4318)


def test_bombs_are_small_and_bodies_are_as_large_as_they_are_asked_for() -> None:
    assert len(gate_senders.zstd_bomb(2**28)) < 2**14
    assert len(gate_senders.gzip_bomb(2**26)) < 2**17
    for maps in (False, True):
        assert 2**20 <= len(gate_senders.deep_value(2**20, maps=maps)) < 2**20 + 64


def test_a_body_that_stalls_is_small_unpacks_to_nearly_the_limit_and_has_no_end() -> None:
    at = ("localhost", 4318)
    logins = {gate_senders.ATTACKER.name: ("user", "password")}
    target = gate_target.Target(http=at, grpc=at, authority="", logins=logins)
    first, _, body = gate_senders.half_packed(target).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in first.decode().split("\r\n")[1:])
    assert headers["Content-Encoding"] == "gzip"
    assert len(body) < 2**14 < int(headers["Content-Length"])
    packed = zlib.decompressobj(wbits=31)
    assert packed.decompress(body) == bytes(gate_senders.FITS)
    assert not packed.eof
    [attack] = [attack for attack in ATTACKS if attack.name == "slow bodies that unpack"]
    assert {counter.labels.get("reason") for counter in attack.counted} == {"memory", None}
    assert "429" in attack.answers
    assert "200" not in attack.answers


def test_a_frame_has_its_length_kind_flags_and_stream() -> None:
    assert gate_target.frame(gate_target.PING, 1, 5, b"12345678") == b"\0\0\x08\x06\x01\0\0\0\x0512345678"


@pytest.mark.parametrize("signal", list(Signal))
def test_what_is_not_forged_has_no_violation(signal: Signal) -> None:
    layer = LAYERS[1]
    [arrival] = arrivals(signal, control(RUN, layer, signal).body, RUN)
    assert (arrival.layer, arrival.items, arrival.violations) == (layer.name, 1, ())


def test_what_is_sent_would_be_a_violation_if_it_arrived() -> None:
    """Each forgery that the drill tries is seen by what looks for it, so that none of its zeros is blindness."""
    missed = []
    for forgery in forgeries(RUN):
        seen = {wrong.kind for arrival in arrivals(forgery.signal, forgery.body, RUN) for wrong in arrival.violations}
        harmless = forgery.kind is Kind.ATTRIBUTE and forgery.name != "layer" and not forgery.name.startswith("__")
        if not harmless and forgery.kind not in seen:
            missed.append((forgery.kind.value, forgery.signal.value, forgery.name))
    assert missed == []


def test_a_forged_label_without_the_marker_is_found_by_its_value() -> None:
    request = otlp.gauge({"layer": "device"}, "up", [(1, 1.0, {"job": f"forged-{RUN}"})])
    assert isinstance(request, ExportMetricsServiceRequest)
    [arrival] = arrivals(Signal.METRICS, request.SerializeToString(), RUN)
    assert Violation(kind=Kind.LABEL, what="job") in arrival.violations
    assert Violation(kind=Kind.METRIC, what="up in no unit") in arrival.violations


def test_records_of_others_are_passed_over() -> None:
    body = control(new_run(), LAYERS[0], Signal.METRICS).body
    assert list(arrivals(Signal.METRICS, body, RUN)) == []


def test_series_traces_and_logs_under_a_reserved_meaning_are_named() -> None:
    instance = marker(RUN, "device")
    good = {"__name__": "obs_verify_probe", "instance": instance, "layer": "device", "job": "e2e"}
    assert series_problems(good, RUN) == []
    assert series_problems({**good, "__name__": "target_info"}, RUN) == []
    forged = {**good, "__name__": "up", "layer": "business", "job": "kafka", "platform": f"forged-{RUN}"}
    assert len(series_problems(forged, RUN)) == 4

    tags = [{"key": "service.instance.id", "value": instance}, {"key": "layer", "value": "device"}]
    trace = {"processes": {"p1": {"serviceName": "e2e", "tags": tags}}, "spans": [{"tags": []}]}
    assert trace_problems(trace) == []
    foreign = [{"key": "layer", "value": "data"}, tags[0], {"key": "job", "value": f"forged-{RUN}"}]
    wrong = {
        "processes": {"p1": {"serviceName": "kafka", "tags": foreign}},
        "spans": [{"tags": [{"key": "__name__", "value": "x"}]}],
    }
    assert len(trace_problems(wrong)) == 4

    document = {
        "layer": "device",
        "service": "e2e",
        "origin": [f"service.instance.id={instance}", "layer=device"],
        "resource": {"service.instance.id": instance, "layer": "device"},
    }
    assert log_problems(document) == []
    spoiled = {**document, "layer": "data", "service": "kafka", "attributes": {"layer": "x"}}
    assert len(log_problems(spoiled)) == 3
    assert log_problems({**document, "origin": ["layer=data", f"job=forged-{RUN}"]}) == [
        "layer of the origin",
        "job of the origin",
    ]
