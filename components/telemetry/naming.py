"""How Prometheus' OTLP endpoint spells a metric and its labels (translation strategy UnderscoreEscapingWithSuffixes).

The rules are those of ``github.com/prometheus/otlptranslator`` v1.0.0, which Prometheus itself uses.
"""

from __future__ import annotations

import re
from enum import StrEnum

_UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "By": "bytes",
    "GiBy": "gibibytes",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_SEPARATOR = re.compile(r"[^a-zA-Z0-9:]+")


class Kind(StrEnum):
    """Instruments, as OpenTelemetry names them."""

    COUNTER = "counter"
    UP_DOWN_COUNTER = "updowncounter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


def prometheus_name(name: str, unit: str, kind: Kind) -> str:
    """Name of the series that Prometheus stores (of a histogram: without ``_bucket``, ``_sum``, ``_count``).

    Args:
        name: OTLP metric name, dotted.
        unit: UCUM unit; annotations in braces leave no suffix.
        kind: Instrument; counters end in ``_total``, gauges of unit ``1`` in ``_ratio``.
    """
    tokens = [token for token in _SEPARATOR.split(name) if token]
    main, _, per = unit.partition("/")
    for suffix in (_suffix(main, _UNITS), f"per_{_suffix(per, _PER)}" if _suffix(per, _PER) else ""):
        if suffix and suffix not in tokens:
            tokens.append(suffix)
    if kind is Kind.COUNTER:
        tokens = [*(word for word in tokens if word != "total"), "total"]
    if kind is Kind.GAUGE and unit == "1":
        tokens = [*(word for word in tokens if word != "ratio"), "ratio"]
    return "_".join(tokens)


def prometheus_label(attribute: str) -> str:
    """Label that Prometheus makes of an attribute key."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)


def _suffix(unit: str, known: dict[str, str]) -> str:
    if not unit or "{" in unit:
        return ""
    return known.get(unit, unit)
