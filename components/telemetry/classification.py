"""Classes of confidentiality of traces: who may read what."""

from __future__ import annotations

from components.telemetry.attributes import DATA_CLASSES, DATA_CLASSIFICATION

ATTRIBUTE = DATA_CLASSIFICATION
"""Attribute of a span (or of its resource) that names its class."""
CLASSES: tuple[str, ...] = DATA_CLASSES
"""Ordered from open to restricted: who may read a class may read all before it."""
DEFAULT = CLASSES[-1]
"""Class of what names none, or one that does not exist."""


def readable(clearance: str) -> tuple[str, ...]:
    """Classes that somebody with a clearance may read.

    Raises:
        ValueError: There is no such class.
    """
    return CLASSES[: _rank(clearance) + 1]


def clearances(name: str) -> tuple[str, ...]:
    """Clearances that may read a class.

    Raises:
        ValueError: There is no such class.
    """
    return CLASSES[_rank(name) :]


def _rank(name: str) -> int:
    if name not in CLASSES:
        raise ValueError(f"class {name!r}: there is none of that name; allowed: {', '.join(CLASSES)}")
    return CLASSES.index(name)
