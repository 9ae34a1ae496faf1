"""Growing volumes: each claim asks for more, its capacity follows, then the StatefulSet takes the size for new pods."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.core.terminal import clock, say
from ops.storage.claims import Line, Plan, Step, Wanted, plan, refusals
from ops.storage.cluster import Volumes

TAKEN_S: Final = 900.0
"""Until the volumes of a StatefulSet have their size. Kubelets look at a running pod's volumes about once a minute."""
ROLLED_S: Final = 120.0
_EVERY_S: Final = 2.0
_TOLD_EVERY_S: Final = 30.0
_PENDING: Final = "FileSystemResizePending"
_FAILED: Final = ("ControllerResizeError", "NodeResizeError")

Follow = Callable[[Sequence[str]], None]
"""Told which StatefulSets were made again, so that Pulumi's state follows."""


def look(volumes: Volumes, wanted: Sequence[Wanted]) -> Plan:
    """What growing would do."""
    return plan(wanted, volumes.claims(), volumes.templates(), volumes.expandable())


def grow(kube: Kube, wanted: Sequence[Wanted], follow: Follow, limit_s: float = TAKEN_S) -> None:
    """Grow the volumes, one StatefulSet after the other. Safe to repeat: what is done already is left as it is.

    Args:
        kube: The cluster.
        wanted: Sizes.
        follow: Called once, at the end, also when a later StatefulSet fails.
        limit_s: Until the capacity of one StatefulSet's volumes has followed.

    Raises:
        OpsError: A volume would shrink or cannot grow, before anything is changed; or a capacity does not follow.
    """
    volumes = Volumes(kube)
    plan = look(volumes, wanted)
    if refused := refusals(plan):
        raise OpsError("; ".join(refused))
    again: list[str] = []
    try:
        for workload in dict.fromkeys(one.workload for one in wanted):
            own = [one for one in wanted if one.workload == workload]
            _ask(volumes, plan.of(workload))
            _await_capacity(volumes, own, limit_s)
            if workload in plan.templates:
                _await_rolled(kube, workload)
                volumes.adopt(workload, {one.template: one for one in own})
                again.append(workload)
    finally:
        if again:
            follow(again)


def _ask(volumes: Volumes, lines: Sequence[Line]) -> None:
    for line in lines:
        if line.step is Step.GROW:
            say(f"{line.claim.name}: {line.claim.requested} to {line.wanted.size}")
            volumes.ask(line.claim.name, line.wanted.size)


def _await_capacity(volumes: Volumes, wanted: Sequence[Wanted], limit_s: float) -> None:
    start = time.monotonic()
    told = start
    while behind := [line for line in look(volumes, wanted).lines if line.step is not Step.NOTHING]:
        now = time.monotonic()
        if now - start >= limit_s:
            raise OpsError(f"after {clock(limit_s)} {'; '.join(map(_reason, behind))}")
        if now - told >= _TOLD_EVERY_S:
            told = now
            say(f"{clock(now - start)}: {', '.join(_progress(line) for line in behind)}")
        time.sleep(_EVERY_S)


def _progress(line: Line) -> str:
    return f"{line.claim.name} has {line.claim.capacity or 'nothing'} of {line.wanted.size}"


def _reason(line: Line) -> str:
    """Why a capacity does not follow, and who can do something about it."""
    claim = line.claim
    for name in _FAILED:
        if name in claim.conditions:
            return f"{claim.name} did not grow: {claim.conditions[name]}"
    if _PENDING in claim.conditions:
        pod = claim.name.removeprefix(f"{line.wanted.template}-")
        return (
            f"{claim.name} is larger, its file system is not: this driver grows it when the pod starts: once every "
            f"other pod is ready, `kubectl delete pod {pod}`, then repeat"
        )
    return f"{claim.name} has {claim.capacity or 'no volume'}: see `kubectl describe pvc {claim.name}`, then repeat"


def _await_rolled(kube: Kube, workload: str) -> None:
    """A StatefulSet that is being rolled, or has a pod that is not ready, is not touched."""
    deadline = time.monotonic() + ROLLED_S
    while not kube.rolled(workload):
        if time.monotonic() >= deadline:
            raise OpsError(
                f"the volumes of {workload} have grown; new pods do not get the size yet, since {workload} is being "
                "rolled or a pod of it is not ready: repeat when they are"
            )
        time.sleep(_EVERY_S)
