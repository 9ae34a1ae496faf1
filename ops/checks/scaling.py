"""S1: the number of pods follows their use, and sizes of containers are recommended from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ops.core.autoscalers import Autoscalers, recommendations
from ops.core.context import Context
from ops.core.kube import Kube
from ops.core.rows import Check, Finding, listed

FIRST_S = 600
"""So long after its first pod a workload has a recommended size: two looks of the recommender, and of what it reads."""


def s1(context: Context) -> Finding:
    """Every autoscaler knows what its pods use, and has as many as its bounds allow."""
    finding = Finding()
    scalers = Autoscalers(context.kube).all()
    if not scalers:
        finding.set_up(
            "no workload has an autoscaler",
            "bounds in settings.autoscaling.horizontal, `pulumi up --policy-pack policy`",
        )
    for scaler in scalers:
        finding.expect(not scaler.problem, f"the autoscaler of {scaler.name} does not work: {scaler.problem}")
        finding.expect(
            scaler.minimum <= scaler.pods <= scaler.maximum,
            f"{scaler.name} has {scaler.pods} pods, its autoscaler allows {scaler.minimum} to {scaler.maximum}",
        )
        used = "usage unknown" if scaler.percent is None else f"{scaler.percent} % of the request used"
        bounds = f"{scaler.minimum} to {scaler.maximum}"
        finding.figures.append(f"{scaler.name}: {scaler.pods} of {bounds} pods, {used}, target {scaler.target} %")
    full = [scaler.name for scaler in scalers if scaler.minimum < scaler.maximum == scaler.pods]
    if full:
        finding.seen.append(f"at their maximum: {', '.join(full)}")
    _sizes(context.kube, finding)
    finding.drill("gateways-autoscaled", "partitions-added", "storage-grown", "broker-added")
    return finding


def _sizes(kube: Kube, finding: Finding) -> None:
    """Every workload that runs has recommended sizes, and no vertical autoscaler changes a pod."""
    there = recommendations(kube)
    if not there:
        finding.set_up(
            "no sizes are recommended",
            "autoscaling.recommendations in the stack file, `pulumi up --policy-pack policy`",
        )
        return
    changing = [one.workload for one in there if one.mode != "Off"]
    finding.expect(not changing, f"a vertical autoscaler may change the pods of {listed(changing)}")
    for one in there:
        if one.problem or (one.pods and not one.given):
            started = min((pod.started for pod in kube.pods(one.workload) if pod.started), default=0.0)
            since = max(one.since, datetime.fromtimestamp(started, UTC))
            what = f"recommended sizes of {one.workload}"
            # The recommender calls a workload that it does not know yet an unsupported one, until its next look.
            why = (
                f"no sizes are recommended for {one.workload}: {one.problem}" if one.problem else f"{what} are missing"
            )
            finding.expect_by(since + timedelta(seconds=FIRST_S), False, what, why)
    given = [one for one in there if one.given]
    small = [f"{size.workload}/{size.container}" for one in given for size in one.sizes if size.below]
    finding.figures.append(f"sizes recommended for {len(given)} of {len(there)} workloads")
    if small:
        finding.seen.append(f"requests below the recommendation: {listed(small)}")


CHECKS: dict[str, Check] = {"S1": s1}
