"""The maintenance of the monthly report: what is to be done, what was done, what is stored and backed up, what runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.reports import records
from services.reports.cells import cell, figure, table
from services.reports.metrics import QueryRunner
from services.reports.model import (
    DAY,
    Block,
    Chart,
    Line,
    Paragraph,
    ReportError,
    Section,
    Table,
    Text,
    Tone,
    amount,
    duration,
    moment,
    text_of,
    translate,
)
from services.reports.queries import (
    CONTAINER_RESTARTS,
    INSTANCES,
    OLDEST_START,
    PROCESS_RESTARTS,
    PROCESS_START,
    RESTARTS,
    Query,
)
from services.reports.records import Work, WorkLog, WorkRecord
from services.reports.uptime import label_chart, step_for
from services.runtime import one_line

CERTIFICATES = Query(name="certificates", expr="min by (endpoint, instance) (probe_ssl_earliest_cert_expiry)", unit="s")
FAMILY_SIZE = Query(name="family-size", expr="max by (family) (search_family_bytes)", unit="By")
FAMILY_OLDEST = Query(name="family-oldest", expr="max by (family) (search_family_oldest_age_seconds)", unit="s")
FAMILY_KEEP = Query(name="family-keep", expr="max by (family) (search_family_keep_seconds)", unit="s")
STORED_DAILY = Query(name="stored-daily", expr="max by (family) (max_over_time(search_family_bytes[$step]))", unit="By")
BACKUP_NEWEST = Query(name="backup-newest", expr="max by (kind) (backup_last_success_timestamp_seconds)", unit="s")
BACKUP_DUE = Query(name="backup-due", expr="max by (kind) (backup_due_timestamp_seconds)", unit="s")
BACKUP_SIZE = Query(name="backup-size", expr="max by (kind) (backup_last_bytes)", unit="By")
BACKUP_AGE_DAILY = Query(
    name="backup-age-daily",
    expr=f"max by (kind) (max_over_time((time() - {BACKUP_NEWEST.expr})[$step:5m]))",
    unit="s",
)
VERSIONS: Final[tuple[Query, ...]] = tuple(
    Query(name=f"version-{program}", expr=f"count by (version) ({series})")
    for program, series in (
        ("prometheus", 'prometheus_build_info{job=~"prometheus-.+"}'),
        ("thanos", "thanos_build_info"),
        ("alertmanager", "alertmanager_build_info"),
        ("blackbox-exporter", "blackbox_exporter_build_info"),
    )
)
_SEARCH = "search"
"""Kind of the backups of traces and logs."""
_CERTIFICATES, _SOON_S = 15, 7 * DAY
_OLD_S = 90 * DAY
_RESTARTED = 3
_LISTED, _NAMED = 60, 3
_DAILY_POINTS = 3 * DAY
"""A chart has a point for each day where at least so much is known."""


def section(runner: QueryRunner, work_log: WorkLog) -> Section:
    """The section; its list of tasks comes first."""
    certificates = _certificates(runner)
    backups = _backups(runner)
    counted, oldest = restarts(runner), runner.by(OLDEST_START, "job")
    size = runner.by(FAMILY_SIZE, "family")
    step = DAY if runner.seconds >= _DAILY_POINTS else step_for(runner.seconds)

    def daily(title: str, query: Query, label: str) -> Chart:
        lines = runner.lines(query.name, query.expr, runner.start, runner.end, step)
        return label_chart(runner, title, query, lines, label, step)

    blocks: tuple[Block, ...] = (
        _tasks(runner, certificates, backups, bool(size), counted, oldest),
        *_work(runner, work_log),
        _certificate_table(runner, certificates),
        _backup_table(runner, backups),
        daily("maintenance.backup-chart", BACKUP_AGE_DAILY, "kind"),
        _stored(runner, size),
        daily("maintenance.stored-chart", STORED_DAILY, "family"),
        _versions(runner, counted, oldest),
    )
    return Section(title=translate("maintenance.title"), blocks=blocks)


@dataclass(frozen=True, kw_only=True)
class Backup:
    """Backups of one kind.

    Attributes:
        newest: When the newest whole run began, seconds since 1970; None where there is none.
        due: When the next one is missing; None of a kind that nobody makes any more.
        bytes: Size of the newest one.
    """

    newest: float | None
    due: float | None
    bytes: float | None


def _backups(runner: QueryRunner) -> dict[str, Backup]:
    """Kind -> what the backup exporter says; both of its pods see the same."""
    newest, due, size = (runner.by(query, "kind") for query in (BACKUP_NEWEST, BACKUP_DUE, BACKUP_SIZE))
    return {
        kind: Backup(newest=newest.get(kind), due=due.get(kind), bytes=size.get(kind))
        for kind in sorted({*newest, *due})
    }


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """How often what restarted.

    Attributes:
        metric: Series that it comes from.
        by_job: Job, which is a workload -> restarts.
    """

    metric: str
    by_job: Mapping[str, float]


def restarts(runner: QueryRunner) -> Restarts:
    """Restarts of the platform's parts in the period.

    One rule: where Kubernetes' count is there (``cluster.state``), it is that of all containers of a workload's pods;
    where it is not, that of the processes that say when they started, which takes a pod that is replaced for a restart
    and knows nothing of collectors.
    """
    if by_job := runner.by(RESTARTS, "job"):
        return Restarts(metric=CONTAINER_RESTARTS, by_job=by_job)
    return Restarts(metric=PROCESS_START, by_job=runner.by(PROCESS_RESTARTS, "job"))


def _certificates(runner: QueryRunner) -> list[tuple[str, str, float]]:
    """Endpoint, instance and end of each certificate, soonest first."""
    certificates = [
        (labels.get("endpoint", ""), labels.get("instance", ""), end) for labels, end in runner.every(CERTIFICATES)
    ]
    return sorted(certificates, key=lambda certificate: (certificate[2], certificate[0], certificate[1]))


def _tasks(
    runner: QueryRunner,
    certificates: list[tuple[str, str, float]],
    backups: Mapping[str, Backup],
    searched: bool,
    counted: Restarts,
    oldest: dict[str, float],
) -> Table:
    rows: list[tuple[Text, str, Text, Tone]] = []
    for endpoint, instance, end in certificates:
        if end - runner.end < _SOON_S:
            text = translate("maintenance.certificate", subject=f"{endpoint} ({instance})")
            tone: Tone = "bad" if end - runner.end < 2 * DAY else "warning"
            rows.append((text, "probe_ssl_earliest_cert_expiry", duration(max(end - runner.end, 0.0)), tone))
    rows += _backup_tasks(runner, backups, searched)
    for job, count in sorted(counted.by_job.items(), key=lambda item: -item[1]):
        if count > _RESTARTED:
            rows.append(
                (
                    translate("maintenance.restarts", subject=job),
                    counted.metric,
                    text_of(f"{count:.0f}"),
                    "warning",
                )
            )
    for job, start in sorted(oldest.items(), key=lambda item: item[1]):
        if runner.end - start > _OLD_S:
            text = translate("maintenance.old-process", subject=job)
            rows.append((text, PROCESS_START, duration(runner.end - start), "warning"))
    head = ("head.task", "head.metric", "head.value")
    cells = [(cell(text, tone), cell(metric), figure(value)) for text, metric, value, tone in rows]
    return table("maintenance.tasks", head, cells, empty="maintenance.none")


def _backup_tasks(
    runner: QueryRunner, backups: Mapping[str, Backup], searched: bool
) -> list[tuple[Text, str, Text, Tone]]:
    """Backups that are missing; ``searched``: whether there is a search cluster."""
    metric = "backup_due_timestamp_seconds"
    rows: list[tuple[Text, str, Text, Tone]] = []
    if not backups:
        rows.append((translate("maintenance.no-backups"), metric, text_of("-"), "warning"))
    elif searched and (_SEARCH not in backups or backups[_SEARCH].due is None):
        rows.append((translate("maintenance.no-search-backup"), metric, text_of("-"), "warning"))
    for kind, backup in backups.items():
        if backup.due is not None and backup.due < runner.end:
            late = translate("maintenance.late", time=duration(runner.end - backup.due))
            rows.append((translate("maintenance.old-backup", subject=kind), metric, late, "bad"))
    return rows


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


def _backup_table(runner: QueryRunner, backups: Mapping[str, Backup]) -> Table:
    rows = []
    for kind, backup in backups.items():
        age = None if backup.newest is None else runner.end - backup.newest
        late = backup.due is not None and backup.due < runner.end
        rows.append(
            (
                cell(kind),
                figure(moment(backup.newest, runner.period.zone)),
                figure(duration(age), "bad" if late else ""),
                figure(amount(backup.bytes, "By")),
                figure(moment(backup.due, runner.period.zone)),
            )
        )
    head = ("head.backup", "head.newest", "head.age-end", "head.size", "head.next-due")
    return table("maintenance.backups", head, rows, note=translate("maintenance.backups-note"))


def _stored(runner: QueryRunner, size: Mapping[str, float]) -> Table:
    oldest, keep = (runner.by(query, "family") for query in (FAMILY_OLDEST, FAMILY_KEEP))
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


def _versions(runner: QueryRunner, counted: Restarts, oldest: dict[str, float]) -> Table:
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
                figure(amount(counted.by_job.get(job), "{restart}")),
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


def _work(runner: QueryRunner, work_log: WorkLog) -> list[Block]:
    """What was done, by the records that ``ops`` stored."""
    try:
        work = work_log.work(runner.period.start, runner.end)
    except ReportError as error:
        runner.problems.append(translate("problem.work", error=one_line(error)))
        return [Paragraph(text=translate("maintenance.work-unread"), tone="warning")]
    runner.problems += [translate("problem.record", name=name) for name in work.unreadable]
    if work.beyond:
        runner.problems.append(translate("problem.records-more", count=str(work.beyond), most=str(records.MOST)))
    runs = work.of("maintenance")
    return [_runs(runner, runs), *([_failed_checks(runner, runs)] if runs else []), _drills(runner, work)]


def _runs(runner: QueryRunner, runs: Sequence[WorkRecord]) -> Table:
    zone = runner.period.zone
    rows = [
        (
            cell(moment(run.started.timestamp(), zone)),
            cell(translate(f"maintenance.{run.name}") if run.name in _PERIODS else run.name),
            figure(f"{run.checks - len(run.problems)} / {run.checks}", "warning" if run.problems else "good"),
            cell(_named(run.problems)),
            cell(run.recorded_by),
        )
        for run in runs
    ]
    days = {run.started.astimezone(zone).date() for run in runs}
    first, last = (datetime.fromtimestamp(at, zone).date() for at in (runner.period.start, runner.end - 1))
    count = (last - first).days + 1
    note = translate("maintenance.runs-note", missing=str(count - len(days)), all=str(count))
    head = ("head.when", "head.maintenance", "head.checks-good", "head.checks-failed", "head.recorded-by")
    return table("maintenance.runs", head, rows, empty="maintenance.no-runs", note=note, most=_LISTED)


def _failed_checks(runner: QueryRunner, runs: Sequence[WorkRecord]) -> Chart:
    """How many checks each run found beyond their limit."""
    lines = [
        Line(
            label=translate(f"maintenance.{name}"),
            points=[(run.started.timestamp(), float(len(run.problems))) for run in runs if run.name == name],
            emphasis=True,
        )
        for name in _PERIODS
    ]
    return Chart(
        title=translate("maintenance.runs-chart"),
        unit="",
        start=runner.period.start,
        end=runner.period.end,
        lines=tuple(line for line in lines if line.points),
        zone=runner.period.zone,
    )


def _drills(runner: QueryRunner, work: Work) -> Table:
    rows = [
        (
            cell(moment(run.started.timestamp(), runner.period.zone)),
            cell(run.name),
            cell(translate("maintenance.failed"), "bad") if run.problems else cell(translate("maintenance.ok"), "good"),
            cell(_named(run.problems)),
            cell(run.recorded_by),
        )
        for run in work.of("drill")
    ]
    head = ("head.when", "head.drill", "head.result", "head.problem", "head.recorded-by")
    return table("maintenance.drills", head, rows, empty="maintenance.no-drills", most=_LISTED)


def _named(problems: Sequence[str]) -> Text:
    """The first problems, and how many more there are."""
    if not problems:
        return text_of("-")
    named = ", ".join(one_line(problem, 120) for problem in problems[:_NAMED])
    more = len(problems) - _NAMED
    return translate("maintenance.more", names=named, count=str(more)) if more > 0 else text_of(named)


_PERIODS = ("daily", "weekly", "monthly")
