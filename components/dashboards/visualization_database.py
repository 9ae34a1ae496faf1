"""Row about PostgreSQL: who takes writes, do the others follow, is there room, is the data sound? (requirement G1)"""

from __future__ import annotations

from components.dashboards import limits
from components.dashboards.model import RATE, Query, Row, State, bars, series, stat

_JOB = 'job="postgres"'
_BEHIND = f"max by (job, instance, application_name) (pg_stat_replication_pg_wal_lsn_diff{{{_JOB}}})"
_OWN = 'datname!~"template.*|"'
_ROLES = (State(value=0, text="takes writes", tone="good"), State(value=1, text="follows", tone="note"))
_ANSWERS = (State(value=1, text="answers", tone="good"), State(value=0, text="does not answer", tone="bad"))

DATABASE = Row(
    title="PostgreSQL",
    panels=(
        stat(
            "Servers",
            "Whether each server answers its exporter.",
            "",
            Query(expr=f"max by (instance) (pg_up{{{_JOB}}})", legend="{{instance}}"),
            states=_ANSWERS,
            width=8,
            height=5,
        ),
        stat(
            "Roles",
            "Exactly one server takes writes. A server that does not answer has no role.",
            "",
            Query(expr=f"max by (instance) (pg_replication_is_replica{{{_JOB}}})", legend="{{instance}}"),
            states=_ROLES,
            width=8,
            height=5,
        ),
        stat(
            "Damaged pages",
            "Pages that did not fit their checksum when they were read. None is right: the disk gave back other bytes.",
            "{page}",
            Query(expr=f"sum(pg_checksum_failures{{{_JOB}}})", legend="damaged"),
            limits=limits.at_most("PostgresChecksumFailures"),
            height=5,
        ),
        stat(
            "Deadlocks",
            "Transactions of the last hour that PostgreSQL ended since they stood in each other's way.",
            "{transaction}",
            Query(
                expr=f"round(sum(increase(pg_stat_database_deadlocks{{{_JOB},{_OWN}}}[1h])))",
                legend="last hour",
            ),
            limits=limits.at_most("PostgresDeadlocks", tone="note"),
            height=5,
        ),
        series(
            "Standbys behind",
            "Bytes of the log that each standby has not replayed yet.",
            "By",
            Query(expr=f"max by (application_name) ({_BEHIND})", legend="{{application_name}}"),
        ),
        series(
            "Standbys behind, of the log that is kept",
            "At 100 % the log that a standby still needs is gone, and the standby has to be filled anew.",
            "1",
            Query(
                expr=f"max by (application_name) ({_BEHIND} / on (job, instance) group_left () "
                f"max by (job, instance) (pg_settings_wal_keep_size_bytes{{{_JOB}}}))",
                legend="{{application_name}}",
            ),
            limits=limits.platform("PostgresReplicationLag"),
        ),
        series(
            "Oldest transaction",
            "How long the oldest transaction of each server has run. What is deleted meanwhile is not cleaned up.",
            "s",
            Query(
                expr=f"max by (instance) (pg_long_running_transactions_oldest_timestamp_seconds{{{_JOB}}})",
                legend="{{instance}}",
            ),
            limits=limits.platform("PostgresLongTransaction"),
        ),
        series(
            "Connections",
            "Connections to each database, on all servers.",
            "{connection}",
            Query(
                expr=f"sum by (datname) (pg_stat_database_numbackends{{{_JOB},{_OWN}}})",
                legend="{{datname}}",
            ),
            stacked=True,
        ),
        bars(
            "Connections of the most allowed",
            "Share that is taken on each server. When an owner has none left, its programs fail to connect.",
            "1",
            Query(expr="max by (instance) (obs:postgres_connections_used:ratio)", legend="{{instance}}"),
            limits=limits.platform("PostgresConnectionsNearLimit"),
        ),
        bars(
            "Volumes",
            "Share of each server's volume that databases and their log take. A server whose volume is full stops.",
            "1",
            Query(expr="max by (instance) (obs:postgres_disk_used:ratio)", legend="{{instance}}"),
            limits=limits.platform("PostgresDiskFilling"),
        ),
        series(
            "Size of the databases",
            "Bytes of each database, without the log.",
            "By",
            Query(expr=f"max by (datname) (pg_database_size_bytes{{{_JOB},{_OWN}}})", legend="{{datname}}"),
            width=12,
        ),
        series(
            "Transactions",
            "Transactions per second: those that were kept, and those that were taken back.",
            "{transaction}/s",
            Query(
                expr=f"sum(rate(pg_stat_database_xact_commit{{{_JOB},{_OWN}}}[{RATE}]))",
                legend="kept",
            ),
            Query(
                expr=f"sum(rate(pg_stat_database_xact_rollback{{{_JOB},{_OWN}}}[{RATE}]))",
                legend="taken back",
            ),
            width=12,
        ),
    ),
)
