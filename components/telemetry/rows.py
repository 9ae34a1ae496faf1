"""What every entry of ``thresholds.yaml`` is made from, beside `components.telemetry.fields`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, PlainValidator

from components.telemetry.fields import not_allowed, pattern
from components.telemetry.layers import LAYER_NAMES, Layer, layer

PLATFORM = "platform"
"""Stands in the label ``layer`` for what is about this platform and not about one of the five layers."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)([smhd])")
_WORDS = {"en": {3600: "h", 60: "min", 1: "s"}, "ja": {3600: "時間", 60: "分", 1: "秒"}}


def _layer(value: object) -> Layer:
    if value not in LAYER_NAMES:
        raise not_allowed(f"one of {', '.join(LAYER_NAMES)}")
    return layer(str(value))


def _place(value: str) -> str:
    if value not in (*LAYER_NAMES, PLATFORM):
        raise not_allowed(f"one of {', '.join((*LAYER_NAMES, PLATFORM))}")
    return value


AlertName = Annotated[str, pattern(r"([A-Z][a-z0-9]*)+", "words like DeviceBatteryLow, each with a capital letter")]
LabelName = Annotated[str, pattern(r"[a-z][a-z0-9_]*", "a label of Prometheus: lower-case letters, digits, _")]
Duration = Annotated[str, pattern(r"\d+[smhd]", "a duration such as 30s, 5m, 1h or 3d")]
Runbook = Annotated[str, pattern(r"docs/runbooks/[A-Za-z]+\.md", "a page such as docs/runbooks/DeviceBatteryLow.md")]
LayerField = Annotated[Layer, PlainValidator(_layer)]
"""A layer, written as its name."""
Place = Annotated[str, AfterValidator(_place)]
"""Name of a layer, or `PLATFORM`."""


def seconds(duration: str) -> int:
    """Seconds of a `Duration`.

    Raises:
        ValueError: It is none.
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"duration {duration!r}: allowed is one such as 30s, 5m, 1h or 3d")
    return int(match[1]) * _SECONDS[match[2]]


def spoken(value: float, unit: str, language: str) -> str:
    """A limit as people read it, for example ``80 %``, ``5 min`` or ``100``.

    Args:
        value: The limit.
        unit: Its UCUM unit; annotations in braces are not spoken.
        language: ``en`` or ``ja``.
    """
    if unit == "1":
        return f"{value * 100:.10g} %"
    if unit == "s":
        sizes = _WORDS[language]
        size = next((size for size in sizes if value >= size and value % size == 0), 1)
        return f"{value / size:.10g} {sizes[size]}"
    return f"{value:.10g}" if "{" in unit else f"{value:.10g} {unit}"
