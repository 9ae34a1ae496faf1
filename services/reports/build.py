"""Makes a report from what is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.reports import daily, monthly, weekly
from services.reports.alert_topics import AlertLog
from services.reports.metrics import Metrics, QueryRunner, make_runner
from services.reports.model import Kind, Period, Report, Section, Text, duration, moment, translate
from services.reports.records import WorkLog

_SECTIONS: Mapping[Kind, Callable[[QueryRunner, AlertLog, WorkLog], tuple[Section, ...]]] = {
    Kind.DAILY: lambda runner, alerts, _: daily.sections(runner, alerts),
    Kind.WEEKLY: lambda runner, alerts, _: weekly.sections(runner, alerts),
    Kind.MONTHLY: monthly.sections,
}
_MINUTE = 60.0
_MOST_WARNINGS = 5


def report(*, period: Period, platform: str, metrics: Metrics, alerts: AlertLog, work: WorkLog, now: float) -> Report:
    """Ask everything, and put it together.

    Args:
        period: What it is about; it may be under way.
        platform: Name of the platform, for the head.
        metrics: Who answers PromQL.
        alerts: Who knows the notifications.
        work: Who knows what was done on the platform.
        now: Seconds since 1970.

    Raises:
        ReportError: Metrics cannot be asked at all.
    """
    runner = make_runner(metrics, period, now)
    sections = _SECTIONS[period.kind](runner, alerts, work)
    incomplete = [translate("problem.warning", warning=warning) for warning in metrics.warnings[:_MOST_WARNINGS]]
    if (more := len(metrics.warnings) - _MOST_WARNINGS) > 0:
        incomplete.append(translate("problem.warnings-more", count=str(more)))
    return Report(
        kind=period.kind,
        period=period.name,
        title=translate(f"title.{period.kind.value}", period=period.name),
        facts=_facts(runner, platform, now),
        sections=sections,
        problems=tuple(dict.fromkeys([*runner.problems, *incomplete])),
        complete=now >= period.end,
    )


def _facts(runner: QueryRunner, platform: str, now: float) -> tuple[Text, ...]:
    period = runner.period
    facts = [
        translate(
            "fact.period",
            platform=platform,
            start=moment(period.start, period.zone),
            end=moment(period.end, period.zone),
            zone=period.zone.key,
        ),
        translate("fact.made", at=moment(now, period.zone)),
    ]
    if now < period.end:
        facts.append(translate("fact.under-way", at=moment(runner.end, period.zone)))
    if runner.history is None:
        facts.append(translate("fact.no-history"))
    elif runner.history > period.start + _MINUTE:
        facts.append(
            translate(
                "fact.short",
                at=moment(runner.history, period.zone),
                known=duration(runner.seconds),
                all=duration(period.seconds),
            )
        )
    return tuple(facts)
