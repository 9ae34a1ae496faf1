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
    """How to read logs, where they go, and how to serve the metrics.

    Attributes:
        batch_records: Kafka records that are read before they are written.
        batch_bytes: Size of one bulk request, about.
    """

    batch_records: int
    batch_bytes: int


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


def _number(key: str, value: object, *, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise SettingsError(f"{key} is {value!r}; it must be a whole number from {lowest} to {highest}")
    return value


_NUMBERS: dict[str, Callable[[str, object], int]] = {
    "batch_records": partial(_number, lowest=1, highest=10_000),
    "batch_bytes": partial(_number, lowest=10_000, highest=50_000_000),
}
