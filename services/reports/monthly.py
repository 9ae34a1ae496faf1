"""The monthly report: service levels, capacity plan, maintenance."""

from __future__ import annotations

from services.reports import section_alerts, section_capacity, section_maintenance, section_uptime
from services.reports.alert_log import AlertLog
from services.reports.cells import promise
from services.reports.daily import alerts_counted, promises_kept
from services.reports.i18n import translate
from services.reports.model import Figure, Figures, Section
from services.reports.objectives import Achieved
from services.reports.query_runner import QueryRunner
from services.reports.text import share


def sections(runner: QueryRunner, log: AlertLog) -> tuple[Section, ...]:
    """All sections."""
    layers, parts = section_uptime.all_of(runner)
    kept = section_uptime.achieved(runner)
    alerts = section_alerts.read(runner, log)
    forecasts = section_capacity.forecasts(runner)
    summary = Figures(
        figures=(
            promises_kept(kept),
            *(_worst(kept)),
            Figure(label=translate("summary.soonest"), value=section_capacity.soonest(runner, forecasts)),
            alerts_counted(alerts),
        )
    )
    return (
        Section(title=translate("summary.title"), blocks=(summary,)),
        section_uptime.section(runner, layers, parts, kept),
        section_alerts.weekly(alerts),
        section_capacity.section(runner, forecasts),
        section_maintenance.section(runner),
    )


def _worst(kept: list[Achieved]) -> list[Figure]:
    """The objective that used most of its budget."""
    known = [achieved for achieved in kept if achieved.burn is not None]
    if not known:
        return []
    worst = max(known, key=lambda achieved: achieved.burn or 0.0)
    return [
        Figure(
            label=translate("summary.worst"),
            value=share(worst.good),
            note=worst.objective.description,
            tone=promise(worst.kept),
        )
    ]
