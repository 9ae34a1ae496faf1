"""Rules of the objectives: how fast error budgets are used, what is left of them, and alerts on both.

Bad and all events are recorded as rates over the base window. Every longer window is the sum of those, so it is
weighted with its events and costs little. A burn of 1 uses the budget up exactly at the end of the objective's window.

There is one alert per priority and not one per objective: the objective is the label ``slo``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from components.rules import Alert, Inhibition, Recording, RuleGroup, Severity, any_of
from components.telemetry.rows import seconds, spoken
from components.telemetry.schema import Document
from components.telemetry.slo_row import BASE_WINDOW, WINDOW, BurnRate, Slo

EVENTS = f"slo:events:rate{BASE_WINDOW}"
ERRORS = f"slo:errors:rate{BASE_WINDOW}"
OBJECTIVE = "slo:objective:ratio"
REMAINING = "slo:error_budget_remaining:ratio"

ALERT_OF_PRIORITY: dict[Severity, str] = {severity: f"SloBurn{severity.value.capitalize()}" for severity in Severity}
"""Priority -> name of the alert."""

_OFTEN = "30s"
_SELDOM = "5m"
"""A budget over weeks moves slowly, and reads many samples."""


def burn(window: str) -> str:
    """Name of the series with the burn over a window."""
    return f"slo:burn:rate{window}"


def slo_groups(document: Document) -> tuple[RuleGroup, ...]:
    """Recording rules and alerts of all objectives; none when there is no objective."""
    slos, rates = document.slos, document.burn_rates
    if not slos:
        return ()
    windows = sorted({BASE_WINDOW, *(window for rate in rates for window in (rate.long, rate.short))}, key=seconds)
    recordings = (rule for slo in slos for rule in _recordings(slo, windows))
    return (
        RuleGroup(name="slo", rules=(*recordings, *_alerts(slos, rates)), interval=_OFTEN),
        RuleGroup(name="slo-budget", rules=tuple(_budget(slo) for slo in slos), interval=_SELDOM),
    )


def slo_inhibitions(document: Document) -> Iterator[Inhibition]:
    """A fast burn makes the slow ones superfluous; a threshold's alert makes those of its objective superfluous."""
    urgency = list(Severity)
    used = [severity for severity in urgency if any(severity in slo.priorities.values() for slo in document.slos)]
    for severity in used[:-1]:
        yield Inhibition(
            source=(ALERT_OF_PRIORITY[severity],),
            targets=tuple(ALERT_OF_PRIORITY[lower_severity] for lower_severity in used[used.index(severity) + 1 :]),
            equal=("slo",),
            reason="The same budget, and a faster burn of it.",
        )
    for threshold in document.thresholds:
        targets = [severity for severity in used if urgency.index(severity) >= urgency.index(threshold.priority)]
        if threshold.slo and targets:
            yield Inhibition(
                source=(threshold.alert,),
                targets=tuple(ALERT_OF_PRIORITY[target] for target in targets),
                equal=("slo",),
                reason="It tells the same sooner, and says what is wrong.",
            )


def _selector(slo: Slo) -> str:
    return f'{{slo="{slo.name}"}}'


def _labels(slo: Slo) -> dict[str, str]:
    return {"slo": slo.name, "layer": slo.layer, "owner": slo.owner}


def _errors(slo: Slo) -> str:
    """Rate of bad events: 0 where there are events and no series of bad ones (or of good ones)."""
    events = f"sum({EVENTS}{_selector(slo)})"
    known = f"({slo.bad or slo.good}) or 0 * {events}".replace(WINDOW, BASE_WINDOW)
    return known if slo.bad else f"{events} - ({known})"


def _share(slo: Slo, window: str) -> str:
    """Share of bad events in a window."""
    if window == BASE_WINDOW:
        return f"{ERRORS}{_selector(slo)} / {EVENTS}{_selector(slo)}"
    return f"sum_over_time({ERRORS}{_selector(slo)}[{window}]) / sum_over_time({EVENTS}{_selector(slo)}[{window}])"


def _recordings(slo: Slo, windows: Iterable[str]) -> Iterator[Recording]:
    labels = _labels(slo)
    yield Recording(record=OBJECTIVE, expr=f"vector({slo.objective:.10g})", labels=labels)
    yield Recording(record=EVENTS, expr=slo.total.replace(WINDOW, BASE_WINDOW), labels=labels)
    yield Recording(record=ERRORS, expr=_errors(slo), labels=labels)
    for window in windows:
        yield Recording(record=burn(window), expr=f"{_share(slo, window)} / {slo.budget:.10g}", labels=labels)


def _budget(slo: Slo) -> Recording:
    expr = f"1 - {_share(slo, slo.window)} / {slo.budget:.10g}"
    return Recording(record=REMAINING, expr=expr, labels=_labels(slo))


def _alerts(slos: tuple[Slo, ...], rates: tuple[BurnRate, ...]) -> Iterator[Alert]:
    for severity, name in ALERT_OF_PRIORITY.items():
        chosen = ((rate, [slo for slo in slos if slo.priorities[rate.name] is severity]) for rate in rates)
        conditions = [_condition(rate, those) for rate, those in chosen if those]
        told = [slo for slo in slos if severity in slo.priorities.values()]
        if conditions:
            yield Alert(
                name=name,
                expr=any_of(conditions),
                for_="0s",
                severity=severity,
                summary='Error budget of {{ $labels.slo }}: used {{ $value | printf "%.1f" }} times too fast',
                description=f"Objective: {_each(told, _english)}. At this speed it is missed.",
                annotations={
                    "summary_ja": '{{ $labels.slo }}: エラーバジェットの消費が {{ $value | printf "%.1f" }} 倍速',
                    "description_ja": f"目標: {_each(told, _japanese)}。この速度では達成できません。",
                },
            )


def _condition(rate: BurnRate, slos: Iterable[Slo]) -> str:
    names = "|".join(slo.name for slo in slos)
    long, short = (f'{burn(window)}{{slo=~"{names}"}} > {rate.factor:.10g}' for window in (rate.long, rate.short))
    return f"({long} and {short})"


def _each(slos: Iterable[Slo], text: Callable[[Slo], str]) -> str:
    """Template text that differs by objective."""
    cases = "{{ else ".join(f'if eq $labels.slo "{slo.name}" }}}}{text(slo)}' for slo in slos)
    return f"{{{{ {cases}{{{{ end }}}}"


def _english(slo: Slo) -> str:
    return f"{spoken(slo.objective, '1', 'en')} over {slo.window}, {slo.description} ({slo.runbook})"


def _japanese(slo: Slo) -> str:
    return f"{slo.window} で {spoken(slo.objective, '1', 'ja')}、{slo.description_ja} ({slo.runbook})"
