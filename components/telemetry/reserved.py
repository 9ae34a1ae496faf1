"""Which names are the platform's own, compared as the gate compares them (``collector/gate/reserved.go``)."""

from __future__ import annotations

import re
from collections.abc import Collection

_WORDS = re.compile(r"[A-Za-z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_]")


def metric_reserved(name: str, patterns: Collection[str]) -> bool:
    """Whether a metric would get a reserved name in Prometheus, with whatever unit and suffix it adds."""
    spelled = "_".join(_WORDS.findall(name))
    return _matches(spelled, patterns) or any(pattern.startswith(f"{spelled}_") for pattern in patterns)


def service_reserved(name: str, patterns: Collection[str]) -> bool:
    """Whether a value of ``service.name`` is reserved."""
    return _matches(name.strip().lower(), patterns)


def label_reserved(key: str, labels: Collection[str]) -> bool:
    """Whether the key of a point's attribute would get a reserved label in Prometheus."""
    spelled = _NOT_IN_LABELS.sub("_", key)
    return key in labels or spelled in labels or spelled.startswith("__")


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns)
