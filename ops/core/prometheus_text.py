"""Text of Prometheus: durations as it writes them and options take them, and short names of its series."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ops.core.errors import OpsError

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_PART = re.compile(r"([0-9]{1,12})(ms|[smhdwy])")
_OPTION = re.compile(r"[0-9]{1,12}[smhd]")


def seconds(text: str) -> float:
    """Seconds of a duration as Prometheus writes it, for example ``30d`` or ``1h30m``.

    Raises:
        OpsError: It is none.
    """
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        raise OpsError(f"{text!r} is no duration: write for example 30s, 5m or 1h30m")
    return float(sum(int(count) * _UNITS_S[unit] for count, unit in parts))


def seconds_of_option(
    option: str, text: str, *, shortest: str = "1s", longest: str = "7d", example: str = "15m"
) -> int:
    """Seconds of an option's value: a whole number with s, m, h or d.

    Args:
        option: Its name, for the message.
        text: What was given.
        shortest: The least that is allowed.
        longest: The most that is allowed.
        example: For the message.

    Raises:
        OpsError: It is no such text, or out of bounds.
    """
    given = int(seconds(text)) if _OPTION.fullmatch(text) else 0
    if not seconds(shortest) <= given <= seconds(longest):
        allowed = f"a number with s, m, h or d from {shortest} to {longest}"
        raise OpsError(f"{option} is {text!r}, must be {allowed}, for example {example}")
    return given


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
