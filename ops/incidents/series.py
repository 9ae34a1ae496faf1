"""Source "metrics": the series behind the alert, and behind those of its layer that fired at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.alerting.escalation import ESCALATION_LABEL, SUFFIX
from components.alerting.identity import ID_LABEL
from components.prometheus.config import REPLICA_LABEL
from ops.core.errors import OpsError
from ops.core.metrics import Found, Metrics, step
from ops.incidents.evidence import Firing, Line, Measured
from ops.incidents.model import Incident
from ops.incidents.promql import Operand, mentions, operands, quoted, restricted, unit
from ops.incidents.time_window import TimeWindow

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
    expression = incident.alert.expression or (rule.expression if rule else "")
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
