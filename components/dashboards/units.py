"""Grafana's names of UCUM units."""

from __future__ import annotations

import re
from typing import Final

_KNOWN: Final = {"": "none", "1": "percentunit", "s": "s", "ms": "ms", "By": "bytes", "By/s": "binBps"}
_COUNTED: Final = re.compile(r"\{[^{}]+\}(/\w+)?")


def grafana_unit(unit: str) -> str:
    """Grafana's name of a unit; counted things are plain numbers, with what they are counted per.

    Raises:
        ValueError: The unit is neither known nor of the form ``{thing}`` or ``{thing}/s``.
    """
    if unit in _KNOWN:
        return _KNOWN[unit]
    match = _COUNTED.fullmatch(unit)
    if not match:
        raise ValueError(
            f"unit is {unit!r}, must be one of {', '.join(filter(None, _KNOWN))}, {{thing}} or {{thing}}/s"
        )
    return f"suffix: {match.group(1)}" if match.group(1) else "short"
