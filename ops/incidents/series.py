"""Source "metrics": the series behind the alert, and behind those of its layer that fired at the same time, as the
values and limits that its expression compares.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.alerting.escalation import ESCALATION_LABEL, SUFFIX, recorded_of
from components.rules import ID_LABEL
from components.shards import REPLICA_LABEL
from components.telemetry.catalogue import METRICS
from ops.core.errors import OpsError
from ops.core.web import Found, Metrics, step
from ops.incidents.evidence import Firing, Line, Measured
from ops.incidents.record import Incident, TimeWindow

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


MOST_LINES = 12
MOST_VALUES = 4
MOST_SIBLINGS = 5

_SEVERITIES = ("critical", "high", "medium", "low")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What this source found."""

    measured: tuple[Measured, ...] = ()
    firing: tuple[Firing, ...] = ()
    remark: str = ""


def firing(metrics: Metrics, incident: Incident, window: TimeWindow) -> Seen:
    """When both Prometheus had the alert pending and firing, and which alerts of its layer fired meanwhile.

    Raises:
        OpsError: No answer.
    """
    alert, step_s = incident.alert, step(window.start, window.end)

    def ask(expression: str) -> list[Found]:
        return metrics.over(expression, window.start, window.end, step_s, merged=False)

    own = ask(f"ALERTS{{{ID_LABEL}={quoted(alert.alert_id)}}}")
    spells = [spell for series in own for spell in _spells(series, step_s, window.end, own=True)]
    if alert.layer:
        matchers = f'layer={quoted(alert.layer)}, alertstate="firing", {ESCALATION_LABEL}=""'
        others = ask(f"count by (alertname, severity, alertstate, {REPLICA_LABEL}) (ALERTS{{{matchers}}})")
        spells += [
            spell
            for series in others
            if series.labels.get("alertname") != alert.name
            for spell in _spells(series, step_s, window.end, own=False)
        ]
    remark = "" if alert.layer else "the alert names no layer: other alerts are not looked at"
    return Seen(
        firing=tuple(sorted(spells, key=lambda spell: (not spell.own, spell.start, spell.alert))), remark=remark
    )


def _spells(series: Found, step_s: float, end: datetime, *, own: bool) -> Iterable[Firing]:
    """Times without a gap in which a series was there."""
    spells: list[list[tuple[float, float]]] = []
    for at, value in series.points:
        if not spells or at - spells[-1][-1][0] > step_s * 1.5:
            spells.append([])
        spells[-1].append((at, value or 0.0))
    for spell in spells:
        last = datetime.fromtimestamp(spell[-1][0], UTC)
        yield Firing(
            replica=series.labels.get(REPLICA_LABEL, ""),
            alert=series.labels.get("alertname", "?"),
            state=series.labels.get("alertstate", "firing"),
            start=datetime.fromtimestamp(spell[0][0], UTC),
            end=None if end - last <= timedelta(seconds=step_s * 1.5) else last + timedelta(seconds=step_s),
            count=round(max(value for _, value in spell)),
            severity=series.labels.get("severity", ""),
            own=own,
        )


def measured(metrics: Metrics, incident: Incident, window: TimeWindow, say: Callable[[], bool] = lambda: True) -> Seen:
    """The series of the alert's expression, then those of the most urgent alerts of its layer that fired.

    Args:
        metrics: Where to read.
        incident: The incident.
        window: The time.
        say: Whether there is time left for one more.

    Raises:
        OpsError: No answer, or the rule is not known.
    """
    rules = metrics.alert_rules()
    name, at = incident.alert.name, incident.alert.starts
    rule = rules.get(name) or rules.get(name.removesuffix(SUFFIX))
    expression = incident.alert.expression
    if rule and (not expression or recorded_of(expression)):
        expression = rule.expression
    if not expression:
        raise OpsError(f"no rule of Prometheus is called {name}: it was renamed or removed since")
    measurements = [
        _value(metrics, operand, name, incident.alert.subject, window, alert_at=at)
        for operand in _chosen(operands(expression), incident.alert.subject)
    ]
    remarks = []
    siblings = _siblings(metrics, incident, window)
    for sibling in siblings[:MOST_SIBLINGS]:
        known = rules.get(sibling)
        if known is None or not say():
            remarks.append(f"{sibling} is not drawn")
            continue
        measurements += [
            _value(metrics, operand, sibling, {}, window, alert_at=at, sibling=True)
            for operand in operands(known.expression)[:1]
        ]
    if len(siblings) > MOST_SIBLINGS:
        remarks.append(f"{len(siblings) - MOST_SIBLINGS} more alerts of the layer fired and are not drawn")
    return Seen(measured=tuple(measurements), remark="; ".join(remarks))


def _siblings(metrics: Metrics, incident: Incident, window: TimeWindow) -> list[str]:
    seen = {
        firing_alert.alert: firing_alert.severity
        for firing_alert in firing(metrics, incident, window).firing
        if not firing_alert.own
    }
    order = {name: index for index, name in enumerate(_SEVERITIES)}
    return sorted(seen, key=lambda name: (order.get(seen[name], len(order)), name))


def _chosen(candidates: tuple[Operand, ...], subject: Mapping[str, str]) -> tuple[Operand, ...]:
    """Of many alternatives the ones that name what the alert is about."""
    named = tuple(operand for operand in candidates if mentions(operand.value, subject))
    return (named or candidates)[:MOST_VALUES]


def _value(
    metrics: Metrics,
    operand: Operand,
    alert: str,
    subject: Mapping[str, str],
    window: TimeWindow,
    *,
    alert_at: datetime,
    sibling: bool = False,
) -> Measured:
    step_s = step(window.start, window.end)
    total = max(metrics.count(operand.value, at) for at in (alert_at, window.end))
    worst = f"{'min' if operand.comparison in ('<', '<=', '==') else 'max'}({operand.value})"
    # Of many series the one that the alert is about; where it cannot be told apart, the worst at each moment.
    few = total <= MOST_LINES
    for expression in [operand.value] if few else [restricted(operand.value, subject), worst] if subject else [worst]:
        if lines := metrics.over(expression, window.start, window.end, step_s):
            break
    return Measured(
        alert=alert,
        sibling=sibling,
        value=operand.value,
        comparison=operand.comparison,
        limit=operand.limit,
        unit=unit(operand.value),
        expression=expression,
        step_s=step_s,
        total=None if few else total,
        lines=tuple(
            Line(labels=line.labels, points=line.points, own=_is(line.labels, subject)) for line in lines[:MOST_LINES]
        ),
    )


def _is(labels: Mapping[str, str], subject: Mapping[str, str]) -> bool:
    """Whether a series is the one that the alert is about: no label says otherwise, and at least one says so."""
    shared = [name for name in subject if name in labels]
    return bool(shared) and all(labels[name] == subject[name] for name in shared)
