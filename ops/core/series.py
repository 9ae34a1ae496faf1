"""Names of series for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_NOISE = frozenset({"__name__", "platform", "region", "layer", "prometheus_replica"})


def labels_of(series: Sequence[Mapping[str, str]]) -> list[str]:
    """A short name for each series: the labels in which they differ, else all that tell something."""
    telling = sorted({name for labels in series for name in labels} - _NOISE)
    differ = [name for name in telling if len({labels.get(name, "") for labels in series}) > 1]
    return [
        ", ".join(f"{name}={labels[name]}" for name in (differ or telling) if name in labels)
        or labels.get("__name__", "value")
        for labels in series
    ]
