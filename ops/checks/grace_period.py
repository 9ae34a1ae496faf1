"""Grace period of a new platform: when reports, backups and series are first due, from schedules and creation times."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from components.backups.config import next_time
from ops.core.context import Context
from ops.core.kube import CronJob
from ops.core.rows import Finding, Wait, moment

REPORT, BACKUP = "report-", "backup-"
"""Beginnings of the names of jobs; series about them begin in the same way."""
RUN = timedelta(hours=1)
"""From when a job is due until what it made is counted: a late start, its run, and a look at the object storage."""
GRACE_PERIOD = timedelta(minutes=45)
"""From the creation of the namespace until every source has sent, every rate has a window, every service is mapped."""


def grace_period_end(context: Context) -> datetime:
    """End of the grace period of a new platform."""
    return context.kube.created() + GRACE_PERIOD


def first_due(job: CronJob) -> datetime:
    """When a job runs for the first time."""
    return next_time(job.cron, job.created.astimezone(ZoneInfo(job.time_zone)))


def series_due(context: Context, names: Iterable[str]) -> datetime:
    """When every one of some series has to be there: those about reports or backups once the first of them was made."""
    due = grace_period_end(context)
    jobs = context.kube.cron_jobs()
    for prefix in (REPORT, BACKUP):
        first = [first_due(job) for job in jobs if job.name.startswith(prefix)]
        if first and any(name.startswith(f"{prefix[:-1]}_") for name in names):
            due = max(due, min(first) + RUN)
    return due


def first_run(
    finding: Finding, job: CronJob | None, late: timedelta, what: str, problem: str, command: str = ""
) -> None:
    """Note that nothing of a scheduled job is stored: it waits for the first run, unless that is late.

    Args:
        finding: Gets the note.
        job: The job; None where the platform has none.
        late: How long after its time the first run may end.
        what: What the first run makes.
        problem: What it means that it is late.
        command: Makes it now.
    """
    if job is None:
        finding.wrong.append(f"{problem}, and no job creates one")
        return
    if job.suspended:
        finding.seen.append(f"{what}: created by the other region, since this one is standby")
        return
    due = first_due(job)
    if datetime.now(UTC) <= due + late:
        finding.waits.append(Wait(what=what, due=due, command=command))
    else:
        finding.wrong.append(f"{problem}: the first was due at {moment(due)}")
