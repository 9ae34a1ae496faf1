"""Sizes as Kubernetes and Prometheus write them."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ((2**40, "Ti"), (2**30, "Gi"), (2**20, "Mi"))
_BYTES: Final = {name.replace("i", letter): unit for unit, name in _UNITS for letter in "iB"}


def size_text(size: float) -> str:
    """Bytes in the unit of Kubernetes' sizes, rounded up: ``2.3Ti``."""
    unit, name = next(((unit, name) for unit, name in _UNITS if size >= unit), (_UNITS[-1]))
    tenths = -(-size * 10 // unit) / 10
    return f"{tenths:g}{name}"


def size_of(text: str) -> int:
    """Bytes of a size such as ``500Mi`` or ``350GB``, which Prometheus reads in powers of 1024 as well."""
    number, unit = text.rstrip("KMGTiB"), text.lstrip("0123456789")
    return int(number) * _BYTES[unit]
