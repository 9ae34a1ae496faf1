"""O4 against doubles of the platform: each promise broken once."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from components.sampler.config import POLICIES, SAMPLING, SamplingPolicy, _sampling
from ops import evidence
from ops.context import Context
from ops.errors import OpsError
from ops.verify import sampling


@dataclass
class Platform:
    """Samplers that keep their promises, unless told otherwise."""

    policy: dict[str, Any] = field(default_factory=lambda: _sampling(SamplingPolicy(base_spans_per_s=60)))
    ready: tuple[bool, ...] = (True, True)
    kept: tuple[str, ...] = POLICIES
    dropped: float = 0.0
    anonymous: int = 401

    @property
    def context(self) -> Context:
        config = yaml.safe_dump({"processors": {SAMPLING: self.policy}})
        made = SimpleNamespace(
            kube=SimpleNamespace(
                pods=lambda _: [SimpleNamespace(ready=each) for each in self.ready],
                config_map=lambda _: {"config.yaml": config},
                ready_pod=lambda name: SimpleNamespace(name=f"{name}-x"),
            ),
            thanos=SimpleNamespace(
                instant=lambda _: [SimpleNamespace(labels={"policy": each}, value=3.0) for each in self.kept],
                number=lambda _: self.dropped,
            ),
            tunnels=SimpleNamespace(url=lambda pod, port: f"https://localhost/{pod}/{port}"),
            web=SimpleNamespace(status=lambda _: self.anonymous),
        )
        return cast(Context, made)


@pytest.fixture(autouse=True)
def _drills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "read", lambda _: SimpleNamespace(passed=True, summary=lambda: "fine"))


def test_samplers_that_keep_their_promises_pass() -> None:
    finding = sampling.o4(Platform().context)
    assert finding.wrong == []
    assert "base 10% up to 1200 spans/s" in finding.figures


def test_the_budget_is_read_from_what_runs() -> None:
    found = sampling.budget(Platform().context)
    assert found == sampling.Budget(share=0.1, spans_per_s=60, wait_s=8, samplers=2)
    assert found.traces_per_s(3) == pytest.approx(400)


def test_a_configuration_without_a_base_policy_is_one_clear_line() -> None:
    policy = _sampling(SamplingPolicy())
    policy["policies"] = policy["policies"][:2]
    with pytest.raises(OpsError, match="no policy base of a share and a limit"):
        sampling.budget(Platform(policy=policy).context)


@pytest.mark.parametrize(
    ("platform", "problem"),
    [
        (Platform(ready=(True, False)), "1 of 2 samplers are ready"),
        (Platform(ready=()), "0 of 0 samplers are ready"),
        (Platform(kept=("errors", "slow")), "policy base has not decided anything"),
        (Platform(anonymous=200), "head sampling without a password is 200, must be 401"),
    ],
)
def test_a_broken_promise_is_found(platform: Platform, problem: str) -> None:
    assert sampling.o4(platform.context).wrong == [problem]


def test_traces_that_were_dropped_undecided_are_found() -> None:
    wrong = sampling.o4(Platform(dropped=7).context).wrong
    assert [each.startswith("7 traces were dropped undecided") for each in wrong] == [True, True]
