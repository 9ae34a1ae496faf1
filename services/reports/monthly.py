"""The monthly report: service levels, capacity plan, maintenance."""

from __future__ import annotations

from services.reports import capacity, section_alerts, uptime
from services.reports.alert_log import AlertLog
from services.reports.cells import cell, figure, promise, table
from services.reports.daily import alerts_counted, promises_kept
from services.reports.i18n import translate
from services.reports.metrics import QueryRunner
from services.reports.model import (
    DAY,
    Block,
    Figure,
    Figures,
    Section,
    Table,
    Text,
    Tone,
    amount,
    duration,
    moment,
    share,
    text_of,
)
from services.reports.queries import (
    CERTIFICATES,
    FAMILY_KEEP,
    FAMILY_OLDEST,
    FAMILY_SIZE,
    INSTANCES,
    OLDEST_START,
    RESTARTS,
    SNAPSHOT,
    VERSIONS,
    Achieved,
)

_CERTIFICATES, _SOON_S = 15, 7 * DAY
_OLD_S = 90 * DAY
_SNAPSHOT_S = 2 * DAY
_RESTARTED = 3


def section(runner: QueryRunner) -> Section:
    """The section; its list of tasks comes first."""
    certificates = _certificates(runner)
    snapshot = runner.number(SNAPSHOT)
    restarts, oldest = runner.by(RESTARTS, "job"), runner.by(OLDEST_START, "job")
    blocks: tuple[Block, ...] = (
        _tasks(runner, certificates, snapshot, restarts, oldest),
        _certificate_table(runner, certificates),
        _stored(runner),
        _versions(runner, restarts, oldest),
    )
    return Section(title=translate("maintenance.title"), blocks=blocks)


def _certificates(runner: QueryRunner) -> list[tuple[str, str, float]]:
    """Endpoint, instance and end of each certificate, soonest first."""
    certificates = [
        (labels.get("endpoint", ""), labels.get("instance", ""), end) for labels, end in runner.every(CERTIFICATES)
    ]
    return sorted(certificates, key=lambda certificate: (certificate[2], certificate[0], certificate[1]))


def _tasks(
    runner: QueryRunner,
    certificates: list[tuple[str, str, float]],
    snapshot: float | None,
    restarts: dict[str, float],
    oldest: dict[str, float],
) -> Table:
    rows: list[tuple[Text, str, Text, Tone]] = []
    for endpoint, instance, end in certificates:
        if end - runner.end < _SOON_S:
            text = translate("maintenance.certificate", subject=f"{endpoint} ({instance})")
            tone: Tone = "bad" if end - runner.end < 2 * DAY else "warning"
            rows.append((text, "probe_ssl_earliest_cert_expiry", duration(max(end - runner.end, 0.0)), tone))
    metric = "index_manager_last_snapshot_timestamp_seconds"
    if not snapshot:
        rows.append((translate("maintenance.no-snapshot"), metric, text_of("0" if snapshot == 0 else "-"), "warning"))
    elif runner.end - snapshot > _SNAPSHOT_S:
        rows.append((translate("maintenance.old-snapshot"), metric, duration(runner.end - snapshot), "bad"))
    for job, count in sorted(restarts.items(), key=lambda item: -item[1]):
        if count > _RESTARTED:
            rows.append(
                (
                    translate("maintenance.restarts", subject=job),
                    "process_start_time_seconds",
                    text_of(f"{count:.0f}"),
                    "warning",
                )
            )
    for job, start in sorted(oldest.items(), key=lambda item: item[1]):
        if runner.end - start > _OLD_S:
            text = translate("maintenance.old-process", subject=job)
            rows.append((text, "process_start_time_seconds", duration(runner.end - start), "warning"))
    head = ("head.task", "head.metric", "head.value")
    cells = [(cell(text, tone), cell(metric), figure(value)) for text, metric, value, tone in rows]
    return table("maintenance.tasks", head, cells, empty="maintenance.none")


def _certificate_table(runner: QueryRunner, certificates: list[tuple[str, str, float]]) -> Table:
    rows = [
        (
            cell(endpoint),
            cell(instance),
            figure(moment(end, runner.period.zone)),
            figure(duration(max(end - runner.end, 0.0))),
        )
        for endpoint, instance, end in certificates
    ]
    head = ("head.endpoint", "head.instance", "head.ends", "head.left")
    return table("maintenance.certificates", head, rows, most=_CERTIFICATES)


def _stored(runner: QueryRunner) -> Table:
    size, oldest, keep = (runner.by(query, "family") for query in (FAMILY_SIZE, FAMILY_OLDEST, FAMILY_KEEP))
    rows = [
        (
            cell(name),
            figure(amount(value, "By")),
            figure(duration(oldest.get(name))),
            figure(duration(keep.get(name))),
        )
        for name, value in sorted(size.items(), key=lambda item: -item[1])
    ]
    return table("maintenance.stored", ("head.family", "head.size", "head.oldest", "head.kept"), rows)


def _versions(runner: QueryRunner, restarts: dict[str, float], oldest: dict[str, float]) -> Table:
    versions = {
        query.name.removeprefix("version-"): ", ".join(
            f"{version} ({count:.0f})" for version, count in runner.by(query, "version").items()
        )
        for query in VERSIONS
    }
    rows = []
    for job, count in runner.by(INSTANCES, "job").items():
        program = next((name for name in versions if job.startswith(_JOBS[name])), "")
        start = oldest.get(job)
        rows.append(
            (
                cell(job),
                cell(versions.get(program, "") or "-"),
                figure(f"{count:.0f}"),
                figure(duration(None if start is None else runner.end - start)),
                figure(amount(restarts.get(job), "{restart}")),
            )
        )
    head = ("head.part", "head.version", "head.instances", "head.running", "head.restarts")
    return table("maintenance.parts", head, rows, note=translate("maintenance.parts-note"), most=60)


_JOBS = {
    "prometheus": "prometheus-",
    "thanos": "thanos-",
    "alertmanager": "alertmanager",
    "blackbox-exporter": "probes",
}
"""Program -> how the names of its scrape jobs begin."""


def sections(runner: QueryRunner, log: AlertLog) -> tuple[Section, ...]:
    """All sections."""
    layers, parts = uptime.all_of(runner)
    kept = uptime.achieved(runner)
    alerts = section_alerts.read(runner, log)
    plan = capacity.forecasts(runner)
    summary = Figures(
        figures=(
            promises_kept(kept),
            *(_worst(kept)),
            Figure(label=translate("summary.soonest"), value=capacity.soonest(runner, plan)),
            alerts_counted(alerts),
        )
    )
    return (
        Section(title=translate("summary.title"), blocks=(summary,)),
        uptime.section(runner, layers, parts, kept),
        section_alerts.weekly(alerts),
        capacity.section(runner, plan),
        section(runner),
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
