"""Reads PromQL as far as dashboards need it: which series an expression asks for, how to ask for fewer, and which
series there are: those of the catalogue, and of each part of the platform those in ``known_metrics.yaml``.

Series of recording rules are not listed: the rules say them (``stacks.rules``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from components.telemetry.catalogue import METRICS

_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)"""
    r"""|(?P<variable>\$\{[^}]*\}|\$\w+)"""
    r"""|(?P<number>\d[\w.]*)"""
    r"""|(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)"""
    r"""|(?P<space>\s+)"""
    r"""|(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_LABEL_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_AGGREGATIONS = frozenset(
    ("sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "count_values", "topk", "bottomk", "quantile")
)
_OPERATORS = frozenset(("and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"))
_CLOSING = {"(": ")", "{": "}", "[": "]"}


@dataclass(frozen=True, kw_only=True)
class _Selector:
    """Where an expression asks for series: their name, and the place where more matchers go."""

    name: str
    at: int
    braces: bool
    empty: bool = False


def metrics(expression: str) -> frozenset[str]:
    """Names of the series that an expression asks for."""
    return frozenset(selector.name for selector in _selectors(expression) if selector.name)


def within(expression: str, matchers: str) -> str:
    """The same expression, over the series with more labels only.

    Args:
        expression: PromQL.
        matchers: Such as ``region=~"$region"``; put into every selector.
    """
    if not matchers:
        return expression
    text = expression
    for selector in sorted(_selectors(expression), key=lambda selector: -selector.at):
        added = matchers if selector.braces else f"{{{matchers}}}"
        if selector.braces and not selector.empty:
            added += ","
        text = text[: selector.at] + added + text[selector.at :]
    return text


def _selectors(expression: str) -> Iterator[_Selector]:
    tokens = [match for match in _TOKEN.finditer(expression) if match.lastgroup != "space"]
    index = 0
    while index < len(tokens):
        token, text = tokens[index], tokens[index].group()
        following = tokens[index + 1].group() if index + 1 < len(tokens) else ""
        index += 1
        if text in ("[", "{"):
            if text == "{":
                yield _braces("", tokens, index - 1)
            index = _after(tokens, index - 1)
        elif token.lastgroup == "word":
            name = text.lower()
            if name in _LABEL_LISTS:
                index = _after(tokens, index) if following == "(" else index
            elif name in _AGGREGATIONS | _OPERATORS or following == "(":
                continue
            elif following == "{":
                yield _braces(text, tokens, index)
                index = _after(tokens, index)
            else:
                yield _Selector(name=text, at=token.end(), braces=False)


def _braces(name: str, tokens: list[re.Match[str]], opening: int) -> _Selector:
    inside = tokens[opening + 1].group() if opening + 1 < len(tokens) else "}"
    return _Selector(name=name, at=tokens[opening].end(), braces=True, empty=inside == "}")


def _after(tokens: list[re.Match[str]], opening: int) -> int:
    """Index behind the bracket that closes the one at ``opening``."""
    opened, closed = tokens[opening].group(), _CLOSING[tokens[opening].group()]
    depth = 0
    for index in range(opening, len(tokens)):
        text = tokens[index].group()
        depth += (text == opened) - (text == closed)
        if depth == 0:
            return index + 1
    return len(tokens)


BY_PART: Final[Mapping[str, list[str]]] = yaml.load(
    Path(__file__).with_name("known_metrics.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)
"""Part of the platform -> series that dashboards ask of it."""

SERIES: Final[frozenset[str]] = frozenset(name for names in BY_PART.values() for name in names) | frozenset(
    name for metric in METRICS for name in metric.series
)
"""All of them, those of the catalogue included."""
