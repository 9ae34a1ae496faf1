"""The plan of chaos, and what is judged of a run."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData
from typer.testing import CliRunner

from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.web import Query
from ops.drills import command
from ops.drills.procedure import Drill
from ops.drills.procedures.chaos import (
    SPARED,
    Fault,
    Kind,
    Step,
    name_servers,
    out_of_memory,
    plan,
    problems,
    repeated_share,
    targets,
)
from ops.drills.run import find
from ops.drills.tools import faults
from ops.drills.tools.durations import CHAOS_MINUTES
from ops.drills.tools.markers import Ticker
from ops.drills.tools.span_load import Traffic
from tests.support.running import running

PODS = {
    "gateway": 2, "kafka": 3, "alertmanager": 2, "search": 3, "log-indexer": 1, "thanos-query": 2, "sampler": 2,
    "jaeger-collector": 2, "postgres": 2, "report-server": 1, "prometheus-primary": 1, "prometheus-secondary": 1,
    "metrics-consumer-primary": 1, "metrics-consumer-secondary": 1,
    "thanos-rule-primary": 1, "thanos-rule-secondary": 1,
}  # fmt: skip
CERTIFICATES = ("gateway-tls", "kafka-tls")
MANY = plan(7, 3000, PODS, CERTIFICATES)
FAULTS = [fault for step in MANY for fault in step.faults]


def test_the_same_seed_gives_the_same_plan_whatever_the_order_of_what_is_there() -> None:
    backwards = dict(reversed(PODS.items()))
    assert plan(7, 60, PODS, CERTIFICATES) == plan(7, 60, backwards, CERTIFICATES[::-1])
    assert plan(7, 60, PODS, CERTIFICATES) != plan(8, 60, PODS, CERTIFICATES)


def test_every_kind_occurs_and_every_part_that_has_a_copy() -> None:
    assert {fault.kind for fault in FAULTS} == set(Kind)
    hit = {fault.to[0] for fault in FAULTS if fault.kind in (Kind.KILL, Kind.FREEZE)}
    assert hit == set(PODS) - set(SPARED) - {"report-server"}


def test_two_faults_at_once_are_of_different_parts_and_go_together() -> None:
    both = [step.faults for step in MANY if len(step.faults) > 1]
    assert 300 < len(both) < 1500
    assert all(not first.parts & second.parts and not first.alone and not second.alone for first, second in both)
    assert max(len(step.faults) for step in MANY) == 2


@pytest.mark.parametrize(
    ("workloads", "part"),
    [
        (("prometheus-primary", "prometheus-primary-1", "metrics-consumer-secondary"), "prometheus"),
        (("thanos-rule-primary", "thanos-rule-secondary"), "ruler"),
    ],
)
def test_what_runs_once_for_each_replica_is_one_part(workloads: tuple[str, ...], part: str) -> None:
    for workload in workloads:
        assert Fault(kind=Kind.KILL, to=(workload,), pods=(0,), held_s=5).parts == {part}


def test_a_fault_is_of_a_pod_that_there_is_and_a_cut_of_two() -> None:
    for fault in FAULTS:
        assert all(number < PODS[name] for name, number in zip(fault.to, fault.pods, strict=False))
        if fault.kind is Kind.CUT:
            first, second = zip(fault.to, fault.pods, strict=True)
            assert first != second


@pytest.mark.parametrize("pods", [{"gateway": 1}, {"postgres": 2, "sampler": 2}, {}])
def test_what_has_no_copy_or_is_spared_is_no_target(pods: dict[str, int]) -> None:
    assert list(targets(pods)) == []


def test_a_plan_is_made_where_only_one_part_has_a_copy_and_there_is_no_certificate() -> None:
    steps = plan(1, 500, {"thanos-query": 2}, [])
    missing = {Kind.CUT, Kind.RENEW, Kind.FULL, Kind.SLOW}
    assert {fault.kind for step in steps for fault in step.faults} == {*Kind} - missing
    assert all(len(step.faults) == 1 for step in steps)


def test_a_step_says_what_is_done() -> None:
    step = Step(
        minute=0,
        faults=(
            Fault(kind=Kind.CUT, to=("gateway", "kafka"), pods=(1, 2), held_s=30),
            Fault(kind=Kind.STORAGE, held_s=30),
        ),
    )
    assert str(step) == "gateway-1 and kafka-2 cut off from each other; object storage away"


def figures(**changed: object) -> dict[str, Any]:
    good = {
        "acknowledged": 9000, "spans acknowledged": 300, "spans lost": 0, "given up": 0, "doubled in Kafka": 0,
        "Criticals not told": 0, "Critical told after s, worst": 12.0, "notices twice": 0, "out of memory": [],
        "longest time without an answer s": 2.0, "points and log records that may be there twice": {"points": 4},
    }  # fmt: skip
    return {**good, **changed}


def steps(*workloads: str) -> tuple[Step, ...]:
    faults = (Fault(kind=Kind.KILL, to=(name,), pods=(0,), held_s=5) for name in workloads)
    return tuple(Step(minute=minute, faults=(fault,)) for minute, fault in enumerate(faults))


@pytest.mark.parametrize(
    ("changed", "missing", "problem"),
    [
        ({}, 0, None),
        ({"acknowledged": 0}, 0, "no point was acknowledged"),
        ({}, 3, "3 of 9000 acknowledged points are missing in Kafka"),
        ({"spans acknowledged": 0}, 0, "no span was acknowledged"),
        ({"spans lost": 2}, 0, "2 of 300 spans are lost"),
        ({"given up": 1}, 0, "1 points, log records or traces were never acknowledged"),
        (
            {"doubled in Kafka": 5},
            0,
            "5 points are in Kafka twice, must be at most 4: what was sent while a gateway or broker had a fault",
        ),
        ({"Criticals not told": 1}, 0, "1 Critical alerts were never notified"),
        (
            {"Critical told after s, worst": 71.0},
            0,
            "a Critical was notified after 71.0 s, must be within 70 s of its fault",
        ),
        ({"notices twice": 1}, 0, "1 notifications came twice though no Alertmanager had a fault"),
        (
            {"longest time without an answer s": 41.0},
            0,
            "the read address gave no answer for 41.0 s, must be at most 40 s",
        ),
        ({"out of memory": ["kafka-0/kafka"]}, 0, "ended for want of memory: kafka-0/kafka"),
    ],
)
def test_what_does_not_hold_is_said(changed: dict[str, object], missing: int, problem: str | None) -> None:
    expected = [] if problem is None else [problem]
    assert problems(figures(**changed), steps("search"), {"Kafka": missing, "prometheus-primary": 0}) == expected


def test_what_a_fault_explains_is_no_problem() -> None:
    judged = figures(**{"doubled in Kafka": 4, "notices twice": 1})
    assert problems(judged, steps("kafka", "alertmanager"), {"Kafka": 0}) == []


def test_what_may_be_there_twice_is_what_came_during_faults_of_gateways_and_brokers() -> None:
    assert repeated_share(steps("search", "alertmanager"), 600) == 0
    assert repeated_share(steps("search", "kafka", "gateway"), 600) == 40 / 600
    assert repeated_share(steps("kafka"), 10) == 1


def test_a_trace_that_failed_throughout_has_no_span_without_an_error() -> None:
    for throughout, expected in ((True, 3), (False, 1)):
        trace = Traffic(1, failed=1.0, throughout=throughout).trace()
        groups = TracesData.FromString(trace.record).resource_spans
        spans = [span for group in groups for scope in group.scope_spans for span in scope.spans]
        assert sum(span.status.code == Status.STATUS_CODE_ERROR for span in spans) == expected


def _pod(name: str, reason: str, at: datetime) -> Any:
    ended = SimpleNamespace(reason=reason, finished_at=at)
    containers = [
        SimpleNamespace(name="main", last_state=SimpleNamespace(terminated=ended)),
        SimpleNamespace(name="side", last_state=SimpleNamespace(terminated=None)),
    ]
    return SimpleNamespace(metadata=SimpleNamespace(name=name), status=SimpleNamespace(container_statuses=containers))


def kube_of(*pods: Any) -> Kube:
    listed = SimpleNamespace(list_namespaced_pod=lambda *_, **__: SimpleNamespace(items=list(pods)))
    return cast(Kube, SimpleNamespace(namespace="obs", core=listed))


def test_containers_that_the_kernel_ended_since_are_named() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    kube = kube_of(_pod("a-0", "OOMKilled", late), _pod("b-0", "OOMKilled", early), _pod("c-0", "Error", late))
    assert out_of_memory(kube, early.timestamp() + 1) == ["a-0/main"]


def test_a_cluster_whose_dns_is_not_found_is_said() -> None:
    with pytest.raises(OpsError, match="no pod in kube-system has the label k8s-app=kube-dns"):
        name_servers(kube_of())


def test_the_command_gives_minutes_and_seed_to_the_drill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[Drill, object]] = []
    monkeypatch.setattr(command, "_drill", lambda drill, *_, **__: calls.append((drill, _[-1])))
    words = ["chaos", "--minutes", "60", "--seed", "4", "--yes", "--folder", str(tmp_path)]
    assert CliRunner().invoke(command.drill_app, words, catch_exceptions=False).exit_code == 0
    [(drill, variables)] = calls
    assert variables == {"OBS_E2E_CHAOS_MINUTES": "60", "OBS_E2E_CHAOS_SEED": "4"}
    usual = find("chaos")
    assert drill.seconds - usual.seconds == 60 * (60 - CHAOS_MINUTES)
    assert drill.limit_s - usual.limit_s == 360 * (60 - CHAOS_MINUTES)
    assert CliRunner().invoke(command.drill_app, ["chaos", "--minutes", "0"]).exit_code == 2


def test_two_pods_are_cut_off_in_both_directions_and_never_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    monkeypatch.setattr(faults, "_iptables", lambda *arguments: calls.append(arguments))
    inside: list[str] = []
    with (
        suppress(KeyboardInterrupt),
        faults.cut(running("a-0", address="10.1.0.1"), running("b-0", address="10.1.0.2")),
    ):
        inside += [call[0] for call in calls]
        raise KeyboardInterrupt
    assert inside == ["-I", "-I"]
    ways = [("-s", "10.1.0.1", "-d", "10.1.0.2"), ("-s", "10.1.0.2", "-d", "10.1.0.1")]
    assert calls[:2] == [("-I", "FORWARD", "1", *way, "-j", "DROP") for way in ways]
    assert calls[2:] == [("-D", "FORWARD", *way, "-j", "DROP") for way in ways]


def test_what_enforces_network_policies_does_not_come_before_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def note(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(stdout="")

    monkeypatch.setattr(faults.subprocess, "run", note)
    with faults.dropped(9094) as cut_off:
        assert cut_off.packets() == 0
    assert {tuple(command[:5]) for command in commands} == {("iptables", "-w", "10", "-t", "mangle")}
    assert [command[5] for command in commands] == ["-I", "-I", "-v", "-D", "-D"]


def test_a_rule_that_is_refused_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []

    def refuse_the_second(*arguments: str) -> None:
        if len(calls) == 1 and arguments[0] == "-I":
            raise OpsError("no")
        calls.append(arguments)

    monkeypatch.setattr(faults, "_iptables", refuse_the_second)
    with (
        pytest.raises(OpsError, match="no"),
        faults.cut(running("a-0", address="10.1.0.1"), running("b-0", address="10.1.0.2")),
    ):
        pytest.fail("it is not cut off in one direction only")
    assert [call[0] for call in calls] == ["-I", "-D"]


def test_the_longest_time_without_an_answer_is_known() -> None:
    answers = iter([True, True, False, False, False, True])
    done = threading.Event()

    def ask(_: str) -> bool:
        try:
            return next(answers)
        except StopIteration:
            done.set()
            return True

    query = cast(Query, SimpleNamespace(instant=ask))
    otlp = SimpleNamespace(metrics=lambda *_: (200, 0))
    with Ticker(cast(Context, SimpleNamespace(otlp=otlp)), "1", query) as ticker:
        assert done.wait(60)
    assert ticker.failed == ["empty answer"] * 3
    assert 2.5 < ticker.longest_s < 60
