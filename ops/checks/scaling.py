"""S1: the number of pods follows their use."""

from __future__ import annotations

from ops.core.autoscalers import Autoscalers
from ops.core.context import Context
from ops.core.rows import Check, Finding


def s1(context: Context) -> Finding:
    """Every autoscaler knows what its pods use, and has as many as its bounds allow."""
    finding = Finding()
    scalers = Autoscalers(context.kube).all()
    if not scalers:
        finding.set_up("no workload is scaled by its use", "bounds in settings.autoscaling.horizontal, `pulumi up`")
    for scaler in scalers:
        finding.expect(not scaler.problem, f"the autoscaler of {scaler.name} does not work: {scaler.problem}")
        finding.expect(
            scaler.minimum <= scaler.pods <= scaler.maximum,
            f"{scaler.name} has {scaler.pods} pods, its autoscaler allows {scaler.minimum} to {scaler.maximum}",
        )
        used = "use unknown" if scaler.percent is None else f"{scaler.percent} % of the request used"
        bounds = f"{scaler.minimum} to {scaler.maximum}"
        finding.figures.append(f"{scaler.name}: {scaler.pods} of {bounds} pods, {used}, {scaler.target} % aimed at")
    full = [scaler.name for scaler in scalers if scaler.minimum < scaler.maximum == scaler.pods]
    if full:
        finding.seen.append(f"at their maximum: {', '.join(full)}")
    finding.drill("gateways-autoscaled", "partitions-added", "storage-grown", "broker-added")
    return finding


CHECKS: dict[str, Check] = {"S1": s1}
