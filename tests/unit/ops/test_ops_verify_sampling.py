"""O4 against fakes of the platform: each promise broken once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from components.sampler import POLICIES, SAMPLING, SamplingPolicy, _sampling
from components.telemetry.services import DEFAULT_LATENCY_LIMIT_MS
from ops.checks import traces
from ops.core.context import Context
from ops.core.errors import OpsError
from tests.unit.ops.visualization_platform import OLD


@dataclass
class Platform:
    """Samplers that keep their promises, unless told otherwise."""

    policy: dict[str, Any] = field(default_factory=lambda: _sampling(SamplingPolicy(base_spans_per_s=60)))
    ready: tuple[bool, ...] = (True, True)
    kept: tuple[str, ...] = POLICIES
    dropped: float = 0.0
    anonymous: int = 401
    created: datetime = OLD
    after: tuple[str, ...] | None = None
    sent: list[Any] = field(default_factory=list)

    @property
    def context(self) -> Context:
        config = yaml.safe_dump({"processors": {SAMPLING: self.policy}})
        stub = SimpleNamespace(
            kube=SimpleNamespace(
                pods=lambda _: [SimpleNamespace(ready=is_ready) for is_ready in self.ready],
                config_map=lambda _: {"config.yaml": config},
                ready_pod=lambda name: SimpleNamespace(name=f"{name}-x"),
                created=lambda: self.created,
            ),
            thanos=SimpleNamespace(
                instant=self.decisions,
                number=lambda _: self.dropped,
            ),
            tunnels=SimpleNamespace(url=lambda pod, port: f"https://localhost/{pod}/{port}"),
            web=SimpleNamespace(status=lambda _: self.anonymous),
            otlp=SimpleNamespace(traces=self.take),
        )
        return cast(Context, stub)

    def decisions(self, _: str) -> list[Any]:
        kept = self.kept if self.after is None or not self.sent else self.after
        return [SimpleNamespace(labels={"policy": policy}, value=3.0) for policy in kept]

    def take(self, request: Any, layer: str) -> tuple[int, int]:
        del layer
        self.sent.append(request.resource_spans[0].scope_spans[0].spans[0])
        return 200, 0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_COUNTED_S", -7.9)
    monkeypatch.setattr(traces, "_PAUSE_S", 0.02)


def test_samplers_that_keep_their_promises_pass() -> None:
    finding = traces.o4(Platform().context)
    assert finding.wrong == []
    assert "base 10% up to 1200 spans/s" in finding.figures


def test_the_budget_is_read_from_what_runs() -> None:
    budget = traces.budget(Platform().context)
    assert budget == traces.Budget(share=0.1, spans_per_s=60, wait_s=8, samplers=2)
    assert budget.traces_per_s(3) == pytest.approx(400)


def test_a_configuration_without_a_base_policy_is_one_clear_line() -> None:
    policy = _sampling(SamplingPolicy())
    policy["policies"] = policy["policies"][:2]
    with pytest.raises(OpsError, match="no policy base of a share and a limit"):
        traces.budget(Platform(policy=policy).context)


@pytest.mark.parametrize(
    ("platform", "problem"),
    [
        (Platform(ready=(True, False)), "1 of 2 samplers are ready"),
        (Platform(ready=()), "0 of 0 samplers are ready"),
        (Platform(anonymous=200), "head sampling without a password is 200, must be 401"),
    ],
)
def test_a_broken_promise_is_found(platform: Platform, problem: str) -> None:
    assert traces.o4(platform.context).wrong == [problem]


def test_a_policy_that_never_decides_is_found_once_the_platform_is_no_longer_young() -> None:
    platform = Platform(kept=("errors", "slow"))
    [wrong] = traces.o4(platform.context).wrong
    assert wrong.startswith("policy base has made no decision (was due at ")
    young = traces.o4(Platform(kept=("errors", "slow"), created=datetime.now(UTC)).context)
    assert (young.wrong, [wait.what for wait in young.waits]) == ([], ["first trace kept by policy base"])
    assert platform.sent == []


def test_a_failed_and_a_slow_trace_are_sent_where_none_came_by_itself() -> None:
    platform = Platform(kept=("base",), after=POLICIES)
    assert traces.o4(platform.context).wrong == []
    failed, slow = platform.sent
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert slow.status.code != Status.STATUS_CODE_ERROR
    assert slow.end_time_unix_nano - slow.start_time_unix_nano > DEFAULT_LATENCY_LIMIT_MS * 1_000_000


def test_probes_that_no_policy_takes_are_found() -> None:
    wrong = traces.o4(Platform(kept=("base",)).context).wrong
    assert [problem.partition(" (was")[0] for problem in wrong] == [
        "policy errors has made no decision",
        "policy slow has made no decision",
    ]


def test_traces_that_were_dropped_undecided_are_found() -> None:
    wrong = traces.o4(Platform(dropped=7).context).wrong
    assert [problem.startswith("7 traces were dropped without a decision") for problem in wrong] == [True, True]
