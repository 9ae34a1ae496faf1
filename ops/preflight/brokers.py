"""Whether the brokers that the settings leave out may go: a broker that has copies takes them with it (K1, ADR 53)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from components.kafka.config import BROKERS
from ops.core.kube import Kube
from ops.preflight.checks import Line, State

CHECK: Final = "brokers"


def brokers(kube: Kube, wanted: int, copies: Callable[[], Mapping[int, int]]) -> Line:
    """Compare the brokers that run with those of the settings.

    Args:
        kube: The cluster.
        wanted: Brokers in the settings.
        copies: Asks Kafka how many copies each broker has; called only where a broker would go.

    Raises:
        OpsError: Kafka does not answer.
    """
    there = sorted(int(pod.name.rpartition("-")[2]) for pod in kube.pods(BROKERS))
    leaving = [number for number in there if number >= wanted]
    full = {number: count for number, count in copies().items() if number in leaving and count} if leaving else {}
    if not full:
        return Line(check=CHECK, state=State.OK, detail=f"{len(there)} run, {wanted} in the settings")
    holding = ", ".join(f"broker {number} has {count} copies" for number, count in sorted(full.items()))
    options = " ".join(f"--drain {number}" for number in sorted(full))
    return Line(
        check=CHECK,
        state=State.FAIL,
        detail=f"settings.kafka.brokers are {wanted}, and {holding}",
        remedy=f"first `python -m ops kafka rebalance {options}`, then the settings",
    )
