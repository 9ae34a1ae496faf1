"""Sizes as Kubernetes and Prometheus write them."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = ((2**40, "Ti"), (2**30, "Gi"), (2**20, "Mi"))
_SIZE: Final = re.compile(r"(\d+)([MGT][iB])")
_BYTES: Final = {name.replace("i", letter): unit for unit, name in _UNITS for letter in "iB"}


def size_text(size: float) -> str:
    """Bytes in the unit of Kubernetes' sizes, rounded up: ``2.3Ti``."""
    unit, name = next(((unit, name) for unit, name in _UNITS if size >= unit), (_UNITS[-1]))
    tenths = -(-size * 10 // unit) / 10
    return f"{tenths:g}{name}"


def size_of(text: str) -> int:
    """Bytes of a size such as ``500Mi`` or ``350GB``, which Prometheus reads in powers of 1024 as well.

    Raises:
        ValueError: It is not a whole number of Mi, Gi or Ti.
    """
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"size is {text!r}, must be a whole number with Mi, Gi or Ti, for example 4Gi")
    return int(match[1]) * _BYTES[match[2]]
