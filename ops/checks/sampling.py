"""O4: what the samplers keep: failed and slow traces whole, a share of the rest that falls with load."""

from __future__ import annotations

import time
from dataclasses import dataclass

import yaml

from components.jaeger.collector import WORKLOAD as COLLECTOR
from components.jaeger.config import SAMPLING_PORT
from components.sampler.component import BASE, ERRORS, POLICIES, SAMPLING, SLOW, WORKLOAD
from components.telemetry.layers import Signal, layers_sending
from components.telemetry.services import DEFAULT_LATENCY_LIMIT_MS
from ops.checks.grace_period import grace_period_end
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.rows import Check, Finding

_DECIDED = "otelcol_processor_tail_sampling_count_traces_sampled_total"
_DROPPED = (
    "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total",
    "otelcol_processor_tail_sampling_traces_dropped_too_large_total",
)
_COUNTED_S, _PAUSE_S = 60.0, 2.0
"""From a decision until its count is at the read address, at most; between two questions for it."""


@dataclass(frozen=True)
class Budget:
    """What the running samplers keep of the traces that are neither failed nor slow.

    Attributes:
        share: Share of them, as long as the budget lasts.
        spans_per_s: Spans per second of them that one sampler keeps at most.
        wait_s: Seconds from a trace's first span to its decision.
        samplers: Number of samplers.
    """

    share: float
    spans_per_s: float
    wait_s: float
    samplers: int

    def traces_per_s(self, spans_per_trace: float) -> float:
        """Traces per second of all samplers together up to which the share holds."""
        return self.samplers * self.spans_per_s / self.share / spans_per_trace


def budget(context: Context) -> Budget:
    """The budget in the configuration that the samplers run with.

    Raises:
        OpsError: They have no such policy.
    """
    config = yaml.safe_load(context.kube.config_map(WORKLOAD)["config.yaml"])["processors"][SAMPLING]
    parts = {
        part["type"]: part
        for policy in config["policies"]
        if policy["name"] == BASE
        for part in policy.get("and", {}).get("and_sub_policy", [])
    }
    try:
        share = float(parts["probabilistic"]["probabilistic"]["sampling_percentage"]) / 100
        spans = float(parts["rate_limiting"]["rate_limiting"]["spans_per_second"])
    except KeyError:
        raise OpsError(f"the samplers' configuration has no policy {BASE} of a share and a limit") from None
    wait = str(config["decision_wait"])
    return Budget(share, spans, float(wait.removesuffix("s")), len(context.kube.pods(WORKLOAD)))


def decisions(context: Context) -> dict[str, float]:
    """Policy -> traces that it has kept so far."""
    samples = context.thanos.instant(f'sum by (policy) ({_DECIDED}{{job="{WORKLOAD}",sampled="true"}})')
    return {sample.labels["policy"]: sample.value for sample in samples}


def provoked(context: Context, limits: Budget) -> dict[str, float]:
    """Decisions after a failed and a slow trace were sent, as soon as they are counted, or after a limited time."""
    layer = layers_sending(Signal.TRACES)[0].name
    resource = otlp.resource_of(layer, "ops-verify", "ops-verify")
    probes = {
        "failed": otlp.span(resource, "ops-verify-failed", failed=True),
        "slow": otlp.span(resource, "ops-verify-slow", milliseconds=2 * DEFAULT_LATENCY_LIMIT_MS),
    }
    for name, probe in probes.items():
        status, rejected = context.otlp.traces(probe, layer)
        if (status, rejected) != (200, 0):
            raise OpsError(f"the gateway answered {status} to a {name} trace and rejected {rejected} spans")
    deadline = time.monotonic() + limits.wait_s + _COUNTED_S
    while not {ERRORS, SLOW} <= set(kept := decisions(context)) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    return kept


def o4(context: Context) -> Finding:
    """The policies run, nothing is dropped undecided, and the drills showed the shares."""
    finding = Finding()
    limits = budget(context)
    ready = [pod for pod in context.kube.pods(WORKLOAD) if pod.ready]
    finding.expect(len(ready) == limits.samplers > 0, f"{len(ready)} of {limits.samplers} samplers are ready")
    kept = decisions(context)
    if not {ERRORS, SLOW} <= set(kept):
        # Nobody knows when the first trace of these sorts comes by itself.
        kept = provoked(context, limits)
    for policy in POLICIES:
        problem = f"policy {policy} has made no decision"
        finding.expect_by(grace_period_end(context), policy in kept, f"first trace kept by policy {policy}", problem)
    finding.figures.append(", ".join(f"{policy} kept {kept.get(policy, 0):.0f}" for policy in POLICIES))
    for metric in _DROPPED:
        dropped = context.thanos.number(f'increase({metric}{{job="{WORKLOAD}"}}[1h])') or 0
        finding.expect(not dropped, f"{dropped:.0f} traces were dropped without a decision in the last hour ({metric})")
    finding.figures.append(
        f"base {limits.share:.0%} up to {limits.samplers * limits.spans_per_s / limits.share:.0f} spans/s"
    )
    head = f"{context.tunnels.url(context.kube.ready_pod(COLLECTOR).name, SAMPLING_PORT)}/api/sampling?service=any"
    finding.expect_equal("head sampling without a password", context.web.status(head), 401)
    finding.seen.append(f"{len(ready)} samplers, decision {limits.wait_s:.0f} s after a trace's first span")
    finding.drill("sampling-kept", "sampling-adaptive")
    return finding


CHECKS: dict[str, Check] = {"O4": o4}
