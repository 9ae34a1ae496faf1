"""Rules made of ``thresholds.yaml``: alerts of each layer, objectives, and which alert keeps which one quiet.

Of an objective, bad and all events are recorded as rates over the base window. Every longer window is the sum of those,
so it is weighted with its events and costs little. A burn of 1 uses the budget up exactly at the end of the objective's
window. There is one alert per priority and not one per objective: the objective is the label ``slo``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from components.rules import Alert, Inhibition, Reads, Recording, RuleGroup, Severity, any_of
from components.telemetry.fields import PLATFORM, seconds, spoken
from components.telemetry.file import CatalogueError
from components.telemetry.layers import LAYERS
from components.telemetry.schema import BASE_WINDOW, WINDOW, BurnRate, Document, Slo, Threshold
from components.telemetry.summaries import SUMMARIES
from components.telemetry.thresholds import DOCUMENT, is_wide, problems

EVENTS = f"slo:events:rate{BASE_WINDOW}"
ERRORS = f"slo:errors:rate{BASE_WINDOW}"
OBJECTIVE = "slo:objective:ratio"
REMAINING = "slo:error_budget_remaining:ratio"

ALERT_OF_PRIORITY: dict[Severity, str] = {severity: f"SloBurn{severity.value.capitalize()}" for severity in Severity}
"""Priority -> name of the alert."""

_AT_ONCE, _SOON, _OFTEN = "5s", "10s", "30s"
_SELDOM = "5m"
"""A budget over weeks moves slowly, and reads many samples."""
_REMEMBERED = "6h"
"""How long an objective without events is missed."""


def burn(window: str) -> str:
    """Name of the series with the burn over a window."""
    return f"slo:burn:rate{window}"


def slo_groups(document: Document) -> tuple[RuleGroup, ...]:
    """Recording rules and alerts of all objectives; none when there is no objective.

    Alerts on burns read a few records, so they are evaluated as often as Alertmanager asks of Critical ones
    (docs/adr/0021), and what they read less often: it is made of a series of every sender.
    """
    slos, rates = document.slos, document.burn_rates
    if not slos:
        return ()
    windows = sorted({BASE_WINDOW, *(window for rate in rates for window in (rate.long, rate.short))}, key=seconds)
    recordings = (rule for slo in slos for rule in _recordings(slo, windows))
    return (
        RuleGroup(name="slo", rules=(*recordings, _ABSENT), interval=_OFTEN, reads=Reads.LAYERS),
        RuleGroup(name="slo-burn", rules=tuple(_alerts(slos, rates)), interval=_SOON, reads=Reads.LAYERS),
        RuleGroup(name="slo-budget", rules=tuple(_budget(slo) for slo in slos), interval=_SELDOM, reads=Reads.LAYERS),
    )


def slo_inhibitions(document: Document) -> Iterator[Inhibition]:
    """A fast burn makes the slow ones superfluous; a threshold's alert makes those of its objective superfluous.

    Not that of a threshold whose alerts tell of one screen or device each: the objective is that of all of them.
    """
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
        if threshold.slo and targets and not threshold.example.labels:
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
                expr=_of_layers(any_of(conditions)),
                for_="0s",
                severity=severity,
                summary='Error budget of {{ $labels.slo }}: used {{ $value | printf "%.1f" }} times too fast',
                description=f"Objective: {_each(told, _english)}. At this speed it is missed.",
                annotations={
                    "summary_ja": '{{ $labels.slo }}: エラーバジェットの消費が {{ $value | printf "%.1f" }} 倍速',
                    "description_ja": f"目標: {_each(told, _japanese)}。この速度では達成できません。",
                },
            )


_ABSENT = Alert(
    name="SloEventsAbsent",
    # Without events there is no burn: whoever counts them is down, or their counters do not come here.
    expr=f"label_replace(last_over_time({EVENTS}[{_REMEMBERED}]) unless on (slo) {EVENTS}, "
    f'"layer", "", "layer", "{PLATFORM}")',
    for_="5m",
    severity=Severity.HIGH,
    summary="Nobody counts the events of {{ $labels.slo }} any more",
    description="The service that counts them has stopped, or its metrics do not arrive. Alerts on this objective, and "
    "on the share of its events that fail, are blind.",
    annotations={
        "summary_ja": "{{ $labels.slo }} のイベントが計測されていません",
        "description_ja": "計測するサービスの停止か、メトリクスの不達です。"
        "この目標と失敗率に関するアラートは機能していません。",
    },
)


def _condition(rate: BurnRate, slos: Iterable[Slo]) -> str:
    names = "|".join(slo.name for slo in slos)
    long, short = (f'{burn(window)}{{slo=~"{names}"}} > {rate.factor:.10g}' for window in (rate.long, rate.short))
    return f"({long} and {short})"


def _of_layers(condition: str) -> str:
    """The condition without the label ``layer`` where it names the platform.

    A region on standby mutes what has that label, since the other one tells it too; of its own path nobody else tells.
    """
    return f'label_replace({condition}, "layer", "", "layer", "{PLATFORM}")'


def _each(slos: Iterable[Slo], text: Callable[[Slo], str]) -> str:
    """Template text that differs by objective."""
    cases = "{{ else ".join(f'if eq $labels.slo "{slo.name}" }}}}{text(slo)}' for slo in slos)
    return f"{{{{ {cases}{{{{ end }}}}"


def _english(slo: Slo) -> str:
    return f"{spoken(slo.objective, '1', 'en')} over {slo.window}, {slo.description} ({slo.runbook})"


def _japanese(slo: Slo) -> str:
    return f"{slo.window} で {spoken(slo.objective, '1', 'ja')}、{slo.description_ja} ({slo.runbook})"


def layer_groups(document: Document) -> tuple[RuleGroup, ...]:
    """The groups of each layer that has thresholds, in the order of the layers; one for each distance of evaluations.

    They read a series of every sender of a layer, so none is evaluated more often than its promise asks: the evaluation
    is a part of the time until somebody hears of it (30 s for critical, 2 min for high, an hour for medium).
    """
    return tuple(
        RuleGroup(
            name=f"layer-{layer.name}-{interval}", rules=tuple(map(_alert, rows)), interval=interval, reads=Reads.LAYERS
        )
        for layer in LAYERS
        for interval in (_AT_ONCE, _SOON, _OFTEN)
        if (rows := [row for row in document.thresholds if row.layer is layer and _interval(row) == interval])
    )


def _interval(row: Threshold) -> str:
    if row.priority is Severity.CRITICAL:
        return _AT_ONCE
    return _SOON if row.priority is Severity.HIGH and row.hold_s < seconds(_OFTEN) else _OFTEN


def inhibitions(document: Document) -> tuple[Inhibition, ...]:
    """What keeps an alert quiet: that of a cause, and that of a threshold for those of the objective it spends."""
    return (
        *(
            Inhibition(source=(inhibitor.alert,), targets=(row.alert,), equal=inhibitor.equal, reason=inhibitor.reason)
            for row in document.thresholds
            for inhibitor in row.inhibited_by
        ),
        *slo_inhibitions(document),
    )


def sound(document: Document) -> Document:
    """The document, unless it contradicts the catalogue.

    Raises:
        CatalogueError: It does; one line per contradiction.
    """
    errors = problems(thresholds=document.thresholds, slos=document.slos)
    if errors:
        raise CatalogueError("\n".join(errors))
    return document


def _alert(row: Threshold) -> Alert:
    return Alert(
        name=row.alert,
        expr=row.expression,
        for_=row.hold,
        severity=row.priority,
        summary=row.summary,
        description=row.description,
        labels={"layer": row.layer.name, "owner": row.owner, **({"slo": row.slo} if row.slo else {})},
        annotations={"summary_ja": row.summary_ja, "description_ja": row.description_ja},
        wide=is_wide(row),
    )


RULES: tuple[RuleGroup, ...] = (*layer_groups(sound(DOCUMENT)), *slo_groups(DOCUMENT), *SUMMARIES)
"""All groups."""
INHIBITIONS: tuple[Inhibition, ...] = inhibitions(DOCUMENT)
"""Inhibitions that belong to them."""
SLO_ALERTS: tuple[str, ...] = tuple(ALERT_OF_PRIORITY.values())
"""Names of the alerts about error budgets."""
