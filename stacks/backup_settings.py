"""Settings of backups: when, for how long, of what."""

from __future__ import annotations

from typing import Literal

from stacks import fields
from stacks.section import Section


class Schedules(Section):
    """When each job runs, in the time zone of the backups."""

    database: fields.Cron
    grafana: fields.Cron
    kafka_metadata: fields.Cron
    search: fields.Cron


class KeepDays(Section):
    """For how many days each kind is kept; the newest one is kept for ever."""

    database: fields.Count
    grafana: fields.Count
    kafka_metadata: fields.Count
    search: fields.Count
    archive: fields.Count
    metrics: fields.Count


class Backups(Section):
    """Copies in the object storage; who can open them is the secret ``backupRecipients``.

    Attributes:
        time_zone: Time zone of the schedules.
        schedules: When each job runs.
        keep_days: For how long.
        search: ``export``: documents and index definitions are written by a job; null: the search cluster makes
            snapshots of its own, to a repository that its settings name.
        metrics_block: Time that one block of metrics covers before it is shipped.
    """

    time_zone: fields.Zone
    schedules: Schedules
    keep_days: KeepDays
    search: Literal["export"] | None
    metrics_block: fields.Minutes
