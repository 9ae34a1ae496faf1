"""The settings: one file, closed to unknown keys, every mistake one clear line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.runtime.settings import Ends, Kafka, Search, SettingsError, ends, read

__all__ = ["Kafka", "Search", "Settings", "SettingsError", "load", "parse"]


@dataclass(frozen=True, kw_only=True)
class Settings(Ends):
    """How to read spans, where the map goes, and how to serve it.

    Attributes:
        interval_s: Seconds between documents.
        window_s: Seconds within which a span and its parent have to come.
        most_spans: Spans remembered per window; twice as many are held.
        most_edges: Edges that are told apart.
    """

    interval_s: float
    window_s: float
    most_spans: int
    most_edges: int


def load(path: Path) -> Settings:
    """Read a settings file, YAML or JSON.

    Raises:
        SettingsError: The file cannot be read, or a value in it is not acceptable.
    """
    return read(path, parse)


def parse(content: object) -> Settings:
    """Check the content of a settings file.

    Raises:
        SettingsError: A key is missing or unknown, or a value is not acceptable.
    """
    return Settings(**ends(content, _NUMBERS))


def _number(key: str, value: object, *, lowest: float, highest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise SettingsError(f"{key} is {value!r}; it must be a number from {lowest:.0f} to {highest:.0f}")
    return float(value)


def _count(key: str, value: object, *, lowest: float, highest: float) -> int:
    return int(_number(key, value, lowest=lowest, highest=highest))


_NUMBERS: dict[str, Callable[[str, object], float]] = {
    "interval_s": partial(_number, lowest=1, highest=3600),
    "window_s": partial(_number, lowest=1, highest=600),
    "most_spans": partial(_count, lowest=1000, highest=10_000_000),
    "most_edges": partial(_count, lowest=1, highest=100_000),
}
