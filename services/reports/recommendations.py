"""Recommendations: what the rules of `advice` say about the platform as it is (requirement R1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.reports.cells import MOST_ROWS, cell, figure, table
from services.reports.episodes import Episode, by_alert, tally
from services.reports.i18n import translate
from services.reports.model import Block, Paragraph, Section, Tone
from services.reports.periods import DAY
from services.reports.queries import Query
from services.reports.query_runner import QueryRunner
from services.reports.recommendation_rules import RULES, Rule
from services.reports.text import Text, amount, duration, text_of

_NOISY, _SHORT_S = 10, 600.0
_MOST_PER_RULE = 3


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to do.

    Attributes:
        text: It.
        metric: Series that it comes from.
        value: Its value.
        limit: The limit that it is beyond.
        tone: How urgent it is.
    """

    text: Text
    metric: str
    value: Text
    limit: Text
    tone: Tone


def judge(runner: QueryRunner, rules: Sequence[Rule] = RULES) -> tuple[list[Recommendation], list[Rule]]:
    """What the rules recommend, and those that cannot judge yet for want of history."""
    recommendations, waiting = [], []
    for rule in rules:
        if runner.seconds < rule.needs_days * DAY:
            waiting.append(rule)
            continue
        values = runner.every(Query(name=rule.name, expr=rule.expr, unit=rule.unit))
        beyond = sorted(
            ((value, labels) for labels, value in values if rule.applies(value)),
            key=lambda item: -item[0] if rule.side == "above" else item[0],
        )
        recommendations += [_recommend(rule, value, labels) for value, labels in beyond[:_MOST_PER_RULE]]
    return recommendations, waiting


def noisy(alerts: Sequence[Episode]) -> list[Recommendation]:
    """Alerts that fire often and end by themselves soon: nobody learns from them."""
    recommendations = []
    for name, those in by_alert(alerts):
        one = tally(those)
        if one.count >= _NOISY and one.median_s is not None and one.median_s <= _SHORT_S:
            text = translate("recommend.noisy", subject=name, median=duration(one.median_s))
            recommendations.append(
                Recommendation(
                    text=text,
                    metric=f'ALERTS{{alertname="{name}"}}',
                    value=text_of(str(one.count)),
                    limit=text_of(str(_NOISY)),
                    tone="warning",
                )
            )
    return recommendations


def section(runner: QueryRunner, alerts: Sequence[Episode] | None) -> Section:
    """The section: what to do, with the metric and the value that say so."""
    recommendations, waiting = judge(runner)
    recommendations += noisy(alerts or ())
    order: Mapping[Tone, int] = {"bad": 0, "warning": 1, "": 2, "good": 3}
    rows = [
        (
            cell(recommendation.text, recommendation.tone),
            cell(recommendation.metric),
            figure(recommendation.value),
            figure(recommendation.limit),
        )
        for recommendation in sorted(recommendations, key=lambda one: order[one.tone])
    ]
    head = ("head.recommendation", "head.metric", "head.value", "head.limit")
    blocks: list[Block] = [table("recommend.table", head, rows, empty="recommend.none", most=MOST_ROWS)]
    if waiting:
        days = max(rule.needs_days for rule in waiting)
        blocks.append(
            Paragraph(
                text=translate("recommend.waiting", count=str(len(waiting)), days=f"{days:g}", all=str(len(RULES) + 1))
            )
        )
    return Section(title=translate("recommend.title"), blocks=tuple(blocks))


def _recommend(rule: Rule, value: float, labels: Mapping[str, str]) -> Recommendation:
    subject = labels.get(rule.subject, "") or "-"
    days = rule.unit == "s" and rule.limit >= DAY
    shown, limit = (duration(number) if days else amount(number, rule.unit) for number in (value, rule.limit))
    return Recommendation(
        text=translate(f"recommend.{rule.name}", subject=subject, value=shown),
        metric=rule.metric,
        value=shown,
        limit=limit,
        tone=rule.tone,
    )
