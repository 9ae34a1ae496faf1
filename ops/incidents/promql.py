"""Takes an alert's expression apart: which values are compared with which limits, so that they can be drawn."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from components.telemetry.catalogue import METRICS

_SET = ("and", "or", "unless")
_COMPARISONS = ("==", "!=", ">=", "<=", ">", "<")
_MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)|(?P<comment>\#[^\n]*)|(?P<open>[(\[{])|(?P<close>[)\]}])"""
    r"""|(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)|(?P<sign>==|!=|>=|<=|=~|!~|>|<)|(?P<rest>.)""",
    re.VERBOSE | re.DOTALL,
)
_MATCHING = re.compile(r"^\s*(?:bool\b)?\s*(?:(?:on|ignoring|group_left|group_right)\s*(?:\([^()]*\))?\s*)*")
_ABSENT = re.compile(r"^absent\s*\(")
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_LONGEST_NUMBER = 80


@dataclass(frozen=True, kw_only=True)
class Operand:
    """One value of an expression.

    Attributes:
        value: PromQL of the value.
        comparison: How it is compared; empty when it is not.
        limit: With what; nothing when that is no number.
    """

    value: str
    comparison: str = ""
    limit: float | None = None


def operands(expression: str) -> tuple[Operand, ...]:
    """The values of an alert's expression, in order; a value that occurs again with another limit is one of its own."""
    return tuple(dict.fromkeys(_operands(expression)))


def _operands(expression: str) -> Iterator[Operand]:
    text = _bare(expression)
    parts = _split(text, _SET)
    if len(parts) > 1:
        for index, (_, part) in enumerate(parts):
            yield from _operands(_MATCHING.sub("", part) if index else part)
        return
    if _ABSENT.match(text) and text.endswith(")"):
        yield Operand(value=_bare(text[text.index("(") :]))
        return
    sides = _split(text, _COMPARISONS)
    if len(sides) == 1:
        if text:
            yield Operand(value=text)
        return
    (_, left), (sign, right) = sides[0], sides[1]
    left, right = _bare(left), _bare(_MATCHING.sub("", right))
    if (limit := constant(right)) is not None:
        yield Operand(value=left, comparison=sign, limit=limit)
    elif (limit := constant(left)) is not None:
        yield Operand(value=right, comparison=_MIRRORED[sign], limit=limit)
    else:
        yield Operand(value=left, comparison=sign)
        yield Operand(value=right)


def constant(text: str) -> float | None:
    """Value of an expression of numbers alone, like ``14.4 * 0.001``; nothing for any other."""
    if not text or len(text) > _LONGEST_NUMBER:
        return None
    try:
        number = _number(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return None
    return float(f"{number:.12g}") if number is not None and math.isfinite(number) else None


def _number(node: ast.expr) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _number(node.operand)
        return None if inner is None else -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and (operation := _ARITHMETIC.get(type(node.op))):
        left, right = _number(node.left), _number(node.right)
        return None if left is None or right is None else operation(left, right)
    return None


def restricted(value: str, labels: Mapping[str, str]) -> str:
    """The value, of it the series with these labels only; it works on any expression, not only on selectors."""
    if not labels:
        return value
    wanted = "vector(1)"
    for name, text in sorted(labels.items()):
        # A dollar sign would name a group of the regular expression.
        wanted = f'label_replace({wanted}, "{name}", {quoted(text.replace("$", "$$"))}, "", "")'
    return f"({value}) and on ({', '.join(sorted(labels))}) {wanted}"


def quoted(text: str) -> str:
    """A string as PromQL writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def mentions(value: str, labels: Mapping[str, str]) -> bool:
    """Whether a value selects series by one of these labels, like ``up{job="kafka"}``."""
    return any(f"{name}={quoted(text)}" in value for name, text in labels.items())


def unit(value: str) -> str:
    """UCUM unit of a value, as the catalogue or its metric's name tells; empty where neither does."""
    parts = [_bare(part) for _, part in _split(_bare(value), ("/",))]
    if len(parts) > 1:
        first, second = unit(parts[0]), unit(parts[1])
        return "1" if len(parts) == 2 and first and first == second else ""
    plain = _WITHOUT.sub(" ", parts[0])
    names = {name for name in _NAME.findall(plain) if ("_" in name or ":" in name) and name not in _FUNCTIONS}
    units = {_unit_of(name) for name in names}
    if len(units) != 1:
        return ""
    only = units.pop()
    if only and _RATE.search(plain) and "histogram_quantile" not in plain:
        return "1" if only == "s" else f"{only}/s"
    return only


_WITHOUT = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|\b(?:by|without|on|ignoring)\s*\([^()]*\)")
_RATE = re.compile(r"\bi?rate\s*\(")
_FUNCTIONS = frozenset(
    {"histogram_quantile", "label_replace", "label_join", "max_over_time", "min_over_time", "avg_over_time"}
    | {"last_over_time", "count_over_time", "sum_over_time", "quantile_over_time", "group_left", "group_right"}
)
_CATALOGUE = {series: metric.unit for metric in METRICS for series in metric.series}
_SUFFIXES = {"seconds": "s", "ratio": "1", "bytes": "By"}


def _unit_of(name: str) -> str:
    if metric := _CATALOGUE.get(name):
        return metric
    plain = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_total")
    last = re.split(r"[_:]", plain)[-1]
    return _SUFFIXES.get(last, "{}" if name.endswith("_total") else "")


def _split(text: str, separators: tuple[str, ...]) -> list[tuple[str, str]]:
    """Parts between separators that stand outside all brackets and strings, each with the separator before it."""
    parts, start, before, depth = [], 0, "", 0
    for token in _TOKEN.finditer(text):
        kind, content = token.lastgroup, token.group()
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif depth == 0 and content.lower() in separators and kind in ("word", "sign", "rest"):
            parts.append((before, text[start : token.start()]))
            before, start = content.lower(), token.end()
    parts.append((before, text[start:]))
    return parts


def _bare(text: str) -> str:
    """Text without comments, space around it and brackets around all of it."""
    text = "".join(match.group() for match in _TOKEN.finditer(text) if match.lastgroup != "comment").strip()
    while text.startswith("(") and _closes(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closes(text: str) -> int:
    """Where the bracket that begins the text is closed."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"open": 1, "close": -1}.get(token.lastgroup or "", 0)
        if depth == 0:
            return token.start()
    return -1
