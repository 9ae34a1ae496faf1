"""Texts with figures of evidence: ``{name}`` is a figure, ``{a/b}`` b within a, ``{a/0}`` the first of a list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ops.evidence import files as evidence

NOT_MEASURED = "not measured"
_NAMED = re.compile(r"\{([^{}]+)\}")
_DECIMALS = 2


def told(figures: Mapping[str, Any], texts: Iterable[str]) -> list[str]:
    """Texts with their figures, in their order; a text one of whose figures is missing is left out."""
    return [text for template in texts if (text := filled(template, figures)) is not None]


def filled(text: str, figures: Mapping[str, Any]) -> str | None:
    """A text with each figure in its place; None when one is missing."""
    values = {name: evidence.figure(figures, name) for name in named(text)}
    if None in values.values():
        return None
    return _NAMED.sub(lambda match: plain(values[match[1]]), text)


def named(text: str) -> list[str]:
    """Names of the figures in a text."""
    return _NAMED.findall(text)


def plain(value: object) -> str:
    """A value on one line, numbers with at most two decimals."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {plain(part)}" for key, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, float):
        return f"{round(value, _DECIMALS):,}"
    return f"{value:,}" if isinstance(value, int) else str(value)
