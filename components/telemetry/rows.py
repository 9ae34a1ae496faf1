"""What every entry of ``thresholds.yaml`` is made from: closed, strict, and with words for what is allowed."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator
from pydantic_core import PydanticCustomError

from components.telemetry.layers import LAYER_NAMES, Layer, layer

NOT_ALLOWED = "not_allowed"
"""Error type whose message is what is allowed."""
PLATFORM = "platform"
"""Stands in the label ``layer`` for what is about this platform and not about one of the five layers."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)([smhd])")
_WORDS = {"en": {3600: "h", 60: "min", 1: "s"}, "ja": {3600: "時間", 60: "分", 1: "秒"}}


class Row(BaseModel):
    """One entry: read once, closed to unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def not_allowed(allowed: str) -> PydanticCustomError:
    """The error for a value that is not allowed; ``allowed`` completes 'allowed is ...'."""
    return PydanticCustomError(NOT_ALLOWED, "{allowed}", {"allowed": allowed})


def _pattern(pattern: str, allowed: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise not_allowed(allowed)
        return value

    return AfterValidator(check)


def _one_line(value: str) -> str:
    if not value.strip() or "\n" in value:
        raise not_allowed("one line of text")
    return value


def _layer(value: object) -> Layer:
    if value not in LAYER_NAMES:
        raise not_allowed(f"one of {', '.join(LAYER_NAMES)}")
    return layer(str(value))


def _place(value: str) -> str:
    if value not in (*LAYER_NAMES, PLATFORM):
        raise not_allowed(f"one of {', '.join((*LAYER_NAMES, PLATFORM))}")
    return value


Name = Annotated[str, _pattern(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", "lower-case words joined by dashes")]
AlertName = Annotated[str, _pattern(r"([A-Z][a-z0-9]*)+", "words like DeviceBatteryLow, each with a capital letter")]
MetricName = Annotated[str, _pattern(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", "lower-case words joined by dots")]
AttributeName = Annotated[str, _pattern(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", "lower-case words joined by dots")]
LabelName = Annotated[str, _pattern(r"[a-z][a-z0-9_]*", "a label of Prometheus: lower-case letters, digits, _")]
Duration = Annotated[str, _pattern(r"\d+[smhd]", "a duration such as 30s, 5m, 1h or 3d")]
Runbook = Annotated[str, _pattern(r"docs/runbooks/[A-Za-z]+\.md", "a page such as docs/runbooks/DeviceBatteryLow.md")]
Line = Annotated[str, AfterValidator(_one_line)]
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
