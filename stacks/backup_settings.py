"""Settings of backups: when, for how long, of what."""

from __future__ import annotations

from typing import Literal

from stacks import field_types
from stacks.base_model import SettingsModel


class Schedules(SettingsModel):
    """When each job runs, in the time zone of the backups."""

    database: field_types.Cron
    grafana: field_types.Cron
    kafka_metadata: field_types.Cron
    search: field_types.Cron


class KeepDays(SettingsModel):
    """For how many days each kind is kept; the newest one is kept for ever."""

    database: field_types.Count
    grafana: field_types.Count
    kafka_metadata: field_types.Count
    search: field_types.Count
    archive: field_types.Count
    metrics: field_types.Count


class Backups(SettingsModel):
    """Copies in the object storage; who can open them is the secret ``backupRecipients``.

    Attributes:
        time_zone: Time zone of the schedules.
        schedules: When each job runs.
        keep_days: For how long.
        search: ``export``: documents and index definitions are written by a job; null: the search cluster makes
            snapshots of its own, to a repository that its settings name.
        metrics_block: Time that one block of metrics covers before it is shipped.
    """

    time_zone: field_types.Zone
    schedules: Schedules
    keep_days: KeepDays
    search: Literal["export"] | None
    metrics_block: field_types.Minutes
