"""Recommended sizes of the containers that run, as rows and as data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any, Final

from components.sizes import size_text
from ops.core import platform as platform_module
from ops.core.autoscalers import Amounts, Recommendation, Size, recommendations
from ops.core.errors import OpsError
from ops.core.kube import Kube

COLUMNS: Final = ("workload", "container", "requests", "may use", "recommended", "upper bound", "requests too little")


def read() -> tuple[list[Size], str]:
    """Every container that has a vertical autoscaler, and what there is to say of them, one line.

    What cannot be read is said in the line: the rest of a plan needs no cluster.
    """
    try:
        with closing(Kube.of(platform_module.load())) as kube:
            there = recommendations(kube)
    except OpsError as error:
        return [], f"recommended sizes were not read: {error}"
    return [size for recommendation in there for size in recommendation.sizes], note(there)


def note(there: Sequence[Recommendation]) -> str:
    """What there is to say of recommendations, in one line."""
    if not there:
        return "no sizes are recommended: set autoscaling.recommendations in the stack file, then `pulumi up`"
    late = [recommendation.workload for recommendation in there if not recommendation.given]
    if len(late) == len(there):
        return "no sizes are recommended yet: the recommender needs a few minutes"
    below = [f"{size.workload}/{size.container}" for one in there for size in one.sizes if size.below]
    lines = [f"requests too little: {', '.join(below)}" if below else "no container requests less than is recommended"]
    return "; ".join([*lines, *([f"not recommended yet: {', '.join(late)}"] if late else [])])


def rows(sizes: Sequence[Size]) -> list[tuple[str, ...]]:
    """A row of `COLUMNS` for each container."""
    return [
        (
            size.workload,
            size.container,
            *(text(amounts) for amounts in (size.request, size.limit, size.target, size.upper)),
            ", ".join(size.below),
        )
        for size in sizes
    ]


def text(amounts: Amounts) -> str:
    """``120m, 64Mi``; what is not said is left out."""
    cpu, memory = amounts.get("cpu"), amounts.get("memory")
    cores = [] if cpu is None else [f"{cpu * 1000:,.0f}m"]
    return ", ".join([*cores, *([] if memory is None else [size_text(memory)])])


def as_json(sizes: Sequence[Size]) -> list[dict[str, Any]]:
    """For machines: cores and bytes."""
    return [asdict(size) | {"below": list(size.below)} for size in sizes]
