"""Phrasing of the sentences about a change."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_UNITS_OF_TIME = ((86400, "d"), (3600, "h"), (60, "min"))
_COMPARISONS = {
    ">": "above",
    "<": "below",
    "<=": "at or below",
    ">=": "at or above",
    "==": "equal to",
    "!=": "other than",
}


class Subject(StrEnum):
    """What a sentence is about; the comment has a heading for each, in this order."""

    POLICY = "Policies"
    THRESHOLDS = "Thresholds and alerts"
    CATALOGUE = "What clients may send"
    ACCESS = "Kafka: users, permissions, topics"
    BROKERS = "Kafka brokers"
    LOGINS = "Logins"
    EXPOSURE = "Exposed endpoints and network"
    RETENTION = "Retention"
    DASHBOARDS = "Dashboards"
    VERSIONS = "Versions"


@dataclass(frozen=True)
class Statement:
    """One sentence.

    Attributes:
        subject: Heading that it belongs under.
        text: The sentence, without a final full stop; Markdown code in backticks.
        weakens: Whether it takes protection away or notifies later; the comment marks it.
    """

    subject: Subject
    text: str
    weakens: bool = False


def number(value: float) -> str:
    """A number without needless digits."""
    return f"{value:,.10g}"


def duration(seconds: float) -> str:
    """Seconds in the largest unit that leaves a whole number of at least two, for example ``5 min`` or ``90 s``."""
    for size, unit in _UNITS_OF_TIME:
        if seconds >= size and math.isclose(seconds / size, round(seconds / size)) and seconds != size:
            return f"{seconds / size:.0f} {unit}"
    return f"{number(seconds)} s"


def quantity(value: float, expression: str) -> str:
    """A value with the unit that the metric's name tells."""
    if re.search(r"_ratio\b|/", expression) and abs(value) <= 1:
        return f"{number(value * 100)} %"
    if re.search(r"_seconds(_bucket)?\b", expression) and "rate(" not in expression.replace("histogram_quantile", ""):
        return duration(value)
    if re.search(r"histogram_quantile.*_seconds_bucket\b", expression):
        return duration(value)
    if re.search(r"_bytes\b", expression):
        return f"{number(value)} bytes"
    return number(value)


def compared(comparison: str, value: float, expression: str) -> str:
    """A limit in words, for example ``above 2 s``."""
    return f"{_COMPARISONS.get(comparison, comparison)} {quantity(value, expression)}"


def later(comparison: str, before: float, after: float) -> bool:
    """Whether a moved limit is reached later."""
    return after > before if comparison.startswith(">") else after < before if comparison.startswith("<") else True


def seconds(text: str) -> float | None:
    """A Prometheus duration in seconds, for example ``1h30m``; None when it is none."""
    sizes = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    if not parts or "".join(map("".join, parts)) != text:
        return 0.0 if text in ("", "0") else None
    return float(sum(int(count) * sizes[unit] for count, unit in parts))


def code(value: Any) -> str:
    """A value as Markdown code on one line."""
    text = " ".join(str(value).split())
    fence = "``" if "`" in text else "`"
    return f"{fence}{' ' if fence == '``' else ''}{text}{' ' if fence == '``' else ''}{fence}"


def listed(words: Iterable[str]) -> str:
    """Words as a list in a sentence."""
    return ", ".join(words)


def came_and_went(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """Keys that are new, gone, and in both with another value."""
    return (
        [key for key in after if key not in before],
        [key for key in before if key not in after],
        [key for key in after if key in before and before[key] != after[key]],
    )
