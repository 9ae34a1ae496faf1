"""Series that dashboards may ask for: those of the catalogue, and of each part of the platform those in the file.

Series of recording rules are not listed: the rules say them (``stacks.rules``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from components.telemetry.catalogue import METRICS

BY_PART: Final[Mapping[str, list[str]]] = yaml.load(
    Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)
"""Part of the platform -> series that dashboards ask of it."""

SERIES: Final[frozenset[str]] = frozenset(name for names in BY_PART.values() for name in names) | frozenset(
    name for metric in METRICS for name in metric.series
)
"""All of them, those of the catalogue included."""
