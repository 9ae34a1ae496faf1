"""Load on the gateways until their autoscaler adds a pod, then less until it takes the pod away again (requirement S1).

The bounds are those of the drill: one pod more than there are, and a target between the use at rest, which is measured
first, and that under load. What the autoscaler was told before is told again at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from statistics import fmean
from typing import Any, Final

from ops.core.autoscalers import Autoscalers
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.terminal import say
from ops.drills.procedure import CannotRunError
from ops.drills.tools import durations
from ops.drills.tools.accounts import must, unmet
from ops.drills.tools.faults import put_back
from ops.drills.tools.load import TOPIC, OtlpLoad

WORKLOAD: Final = "gateway"
SETTLE_S: Final = 60
"""Instead of five minutes: for so long the use has to be low before the pod goes."""
ABOVE_REST: Final = 1.5
"""The target, in uses at rest: above it with the load on two pods, and with one pod more at rest below two thirds."""
LEAST_CORES: Final = 0.01
"""The target is at least so far above the use at rest: less is noise."""
REST_S: Final = 75.0
"""Until the metrics API tells of nothing but the load at rest: two of its rounds, and what the kubelet keeps."""
ADDED_S: Final = 210.0
REMOVED_S: Final = 300.0
_REPORT_EVERY_S: Final = 20.0
_LOOK_S: Final = 2.0
_REST: Final[Mapping[str, Any]] = {"workers": 12, "batch": 25, "pause": 1.0}
"""Many connections: the pod that is added, and goes again, must have some of them."""
_LOAD: Final[Mapping[str, Any]] = {"workers": 24, "batch": 25, "pause": 0.0}
"""Many at once: a client waits for Kafka much longer than a gateway works for it."""
_SCRAPED_S: Final = 60
_TAKEN: Final = 'otelcol_gate_accepted_items_total{{job="gateway",instance="{}"}}'


class _Leaving:
    """Follows a pod that is taken away: since when it ends, and when it was gone."""

    def __init__(self, kube: Kube, name: str) -> None:
        self._kube, self._name = kube, name
        self._ending: float | None = None
        self.ended_within_s = 0.0

    def gone(self) -> bool:
        """Whether it is gone."""
        pod = self._kube.pod(self._name)
        now = time.monotonic()
        if pod is not None and not pod.ready and self._ending is None:
            self._ending = now
        if pod is None:
            self.ended_within_s = round(now - (self._ending or now), 1)
        return pod is None


def scale_gateways(context: Context, figures: dict[str, Any]) -> list[str]:
    """Carry it out.

    Raises:
        CannotRunError: The gateways have no autoscaler, or it does not work.
    """
    kube, scalers = context.kube, Autoscalers(context.kube)
    normal = _ready_to_scale(scalers)
    added, grace = f"{WORKLOAD}-{normal}", _grace_s(kube)
    start = context.kafka.end_offsets(TOPIC)
    with OtlpLoad(context, **_REST) as before:
        before.run_for(REST_S)
        rest = _mean(scalers)
        target = target_cores(rest)
        figures["pods"] = f"{normal}, {normal + 1} at most"
        figures["cores of a gateway at rest"] = round(rest, 3)
        figures["target cores"] = round(target, 3)
        with temporary_bounds(scalers, bounds(scalers.spec(WORKLOAD), normal, target)):
            with OtlpLoad(context, **_LOAD) as load:
                took, used = _until(
                    scalers, lambda: _ready(kube) == normal + 1, ADDED_S, f"{normal + 1} ready gateways"
                )
            figures["pod added after s"], figures["cores of a gateway under load"] = took, used
            before.stop()
            began = time.monotonic()
            # Connections stay where they are: those of a new load reach the new pod too.
            with OtlpLoad(context, **_REST) as after:
                leaving = _Leaving(kube, added)
                figures["pod taken away after s"], _ = _until(scalers, leaving.gone, REMOVED_S, f"{added} to be gone")
                window = int(time.monotonic() - began) + _SCRAPED_S
                after.run_for(durations.AFTER_FAULT)
    figures["it ended within s"], figures["it may take s"] = leaving.ended_within_s, grace
    taken = context.thanos.number(f"sum(max_over_time({_TAKEN.format(added)}[{window}s]))") or 0.0
    figures["items that it took"] = round(taken)
    loads = (before, load, after)
    missing = sum(len(load.ledger.missing(load.in_kafka(start, durations.ARRIVAL))) for load in loads)
    acknowledged = sum(len(load.ledger.acknowledged) for load in loads)
    figures["acknowledged"], figures["missing"] = acknowledged, missing
    figures["retries"] = sum(load.ledger.retries for load in loads)
    return unmet(
        (acknowledged > 0, "no point was acknowledged"),
        (missing == 0, f"{missing} of {acknowledged} acknowledged points are missing in Kafka"),
        (taken > 0, f"{added} took nothing of the load: that it went shows nothing"),
        (leaving.ended_within_s < grace, f"{added} was ended by force after {grace} s"),
    )


def target_cores(rest: float) -> float:
    """Cores of a pod that the autoscaler aims at, from those at rest."""
    return max(rest * ABOVE_REST, rest + LEAST_CORES)


def bounds(spec: Mapping[str, Any], normal: int, target: float) -> dict[str, Any]:
    """What the autoscaler is told for the drill.

    Args:
        spec: What it is told otherwise.
        normal: How many pods there are.
        target: Cores of a pod that it aims at.
    """
    aim = {"type": "AverageValue", "averageValue": f"{round(target * 1000)}m"}
    behaviour = spec.get("behavior") or {}
    down = {**(behaviour.get("scaleDown") or {}), "stabilizationWindowSeconds": SETTLE_S}
    return {
        "minReplicas": normal,
        "maxReplicas": normal + 1,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": aim}}],
        "behavior": {**behaviour, "scaleDown": down},
    }


@contextmanager
def temporary_bounds(scalers: Autoscalers, spec: Mapping[str, Any]) -> Iterator[None]:
    """Tell the autoscaler something else inside the block, and then what it was told before."""
    before = scalers.spec(WORKLOAD)
    say(f"autoscaler of {WORKLOAD}: {spec['minReplicas']} to {spec['maxReplicas']} pods")
    try:
        scalers.tell(WORKLOAD, spec)
        yield
    finally:
        say(f"autoscaler of {WORKLOAD}: {before['minReplicas']} to {before['maxReplicas']} pods again")
        usual = {name: before.get(name) for name in spec}
        put_back(f"what the autoscaler of {WORKLOAD} was told", lambda: scalers.tell(WORKLOAD, usual))


def _ready_to_scale(scalers: Autoscalers) -> int:
    scaler = scalers.one(WORKLOAD)
    if scaler is None:
        raise CannotRunError(
            f"{WORKLOAD} has no autoscaler: give it bounds in settings.autoscaling.horizontal, then "
            "`pulumi up --policy-pack policy`"
        )
    if scaler.problem:
        raise CannotRunError(f"the autoscaler of {WORKLOAD} does not work: {scaler.problem}")
    return scaler.pods


def _grace_s(kube: Kube) -> int:
    resource = kube.apps.read_namespaced_stateful_set(WORKLOAD, kube.namespace, _request_timeout=15)
    return int(resource.spec.template.spec.termination_grace_period_seconds)


def _ready(kube: Kube) -> int:
    return sum(pod.ready for pod in kube.pods(WORKLOAD))


def _mean(scalers: Autoscalers) -> float:
    cores = scalers.cores(WORKLOAD)
    must(bool(cores), f"the metrics API knows no pod of {WORKLOAD}")
    return fmean(cores.values())


def _until(scalers: Autoscalers, condition: Callable[[], bool], seconds: float, what: str) -> tuple[float, float]:
    """Wait for something, and tell now and then what the pods use.

    Returns:
        Seconds that it took, and the highest mean use of a pod meanwhile, in cores.

    Raises:
        OpsError: It did not happen in time.
    """
    say(f"waiting for {what}, {seconds:.0f} s at most")
    begin = report_at = time.monotonic()
    most = 0.0
    while (now := time.monotonic()) - begin < seconds:
        with suppress(OpsError):
            if condition():
                return round(now - begin, 1), round(most, 3)
        if now >= report_at:
            report_at = now + _REPORT_EVERY_S
            with suppress(OpsError):
                used = _mean(scalers)
                most = max(most, used)
                scaler = scalers.one(WORKLOAD)
                wanted = scaler.wanted if scaler else 0
                say(f"{WORKLOAD}: {wanted} pods wanted, each uses {used * 1000:.0f} thousandths of a core")
        time.sleep(_LOOK_S)
    raise OpsError(f"waited {seconds:.0f} s in vain for {what}; a gateway used {most * 1000:.0f} thousandths of a core")
