"""The thresholds of the five layers and the objectives, read from ``thresholds.yaml``: alerts are made from them."""

from __future__ import annotations

from components.telemetry.file import NAME, CatalogueError, content, parse, refusal
from components.telemetry.schema import BurnRate, Comparison, Document, Example, Inhibitor, Slo, Threshold, judge

__all__ = [
    "BURN_RATES",
    "SLOS",
    "THRESHOLDS",
    "BurnRate",
    "CatalogueError",
    "Comparison",
    "Document",
    "Example",
    "Inhibitor",
    "Slo",
    "Threshold",
    "read",
    "slo",
    "threshold",
    "thresholds_on",
]


def read(text: str) -> Document:
    """Read the text of such a file.

    Raises:
        CatalogueError: It is wrong; one line per mistake.
    """
    return _document(parse(text))


def _document(parsed: object) -> Document:
    outcome = judge(parsed)
    if isinstance(outcome, list):
        raise refusal(outcome)
    return outcome


DOCUMENT = _document(content())
"""The whole file."""
THRESHOLDS: tuple[Threshold, ...] = DOCUMENT.thresholds
"""All thresholds, in the order of the file: that of the layers."""
BURN_RATES: tuple[BurnRate, ...] = DOCUMENT.burn_rates
"""Speeds at which an error budget may be used, fastest first."""
SLOS: tuple[Slo, ...] = DOCUMENT.slos
"""All objectives."""


def threshold(name: str) -> Threshold:
    """Find a threshold by name.

    Raises:
        KeyError: There is no such threshold.
    """
    for candidate in THRESHOLDS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"threshold {name!r} does not exist: see {NAME}")


def slo(name: str) -> Slo:
    """Find an objective by name.

    Raises:
        KeyError: There is no such objective.
    """
    for candidate in SLOS:
        if candidate.name == name:
            return candidate
    raise KeyError(f"objective {name!r} does not exist: see {NAME}")


def thresholds_on(metric_name: str) -> tuple[Threshold, ...]:
    """Thresholds that read a metric, by its OTLP name."""
    return tuple(candidate for candidate in THRESHOLDS if metric_name in candidate.metrics)
