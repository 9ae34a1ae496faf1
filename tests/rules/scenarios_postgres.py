"""Scenarios of the alerts about PostgreSQL."""

from __future__ import annotations

from tests.rules.scenario import Scenario

_FIRST = 'job="postgres",instance="10-88-0-7"'
_SECOND = 'job="postgres",instance="10-88-0-8"'
_MIB = 2**20


def _replica(server: str) -> str:
    return f"pg_replication_is_replica{{{server}}}"


def _up(server: str) -> str:
    return f"up{{{server}}}"


_UP = {_up(_FIRST): "1x60", _up(_SECOND): "1x60"}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="PostgresDown",
        bad={**_UP, _replica(_FIRST): "0x9 stale", _replica(_SECOND): "1x60"},
        good={**_UP, _replica(_FIRST): "0x9 stale", _replica(_SECOND): "1x10 0x50"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "postgres"},
    ),
    Scenario(
        alert="PostgresDown",
        bad={'up{job="other",instance="o"}': "1x60", _replica(_FIRST): "0x9 stale"},
        good={'up{job="other",instance="o"}': "1x60", _replica(_FIRST): "0x9 _ 0x50"},
        silent_at="5m45s",
        firing_at="6m30s",
        labels={"job": "postgres"},
    ),
    Scenario(
        alert="PostgresTwoPrimaries",
        bad={_replica(_FIRST): "0x60", _replica(_SECOND): "1x9 0x50"},
        good={_replica(_FIRST): "0x9 1x50", _replica(_SECOND): "1x9 0x50"},
        silent_at="5m15s",
        firing_at="6m",
        labels={"job": "postgres"},
    ),
    Scenario(
        alert="PostgresServerDown",
        bad={f"pg_up{{{_SECOND}}}": "1x9 0x50", f"pg_up{{{_FIRST}}}": "1x60"},
        good={f"pg_up{{{_SECOND}}}": "1x9 0x3 1x50", f"pg_up{{{_FIRST}}}": "1x60"},
        silent_at="6m45s",
        firing_at="7m30s",
        labels={"job": "postgres", "instance": "10-88-0-8"},
    ),
    Scenario(
        alert="PostgresStandbyMissing",
        bad={f"pg_standbys_streaming{{{_FIRST}}}": "1x9 0x50", f"pg_standbys_wanted{{{_FIRST}}}": "1x60"},
        good={f"pg_standbys_streaming{{{_FIRST}}}": "0x60", f"pg_standbys_wanted{{{_FIRST}}}": "0x60"},
        silent_at="9m45s",
        firing_at="10m30s",
        labels={"job": "postgres", "instance": "10-88-0-7"},
    ),
    Scenario(
        alert="PostgresReplicationLag",
        bad={
            f'pg_stat_replication_pg_wal_lsn_diff{{{_FIRST},application_name="postgres-1",state="streaming",'
            'client_addr="10.88.0.8",server="localhost:5432"}': f"0x9 {65 * _MIB}x50",
            f'pg_settings_wal_keep_size_bytes{{{_FIRST},server="localhost:5432"}}': f"{128 * _MIB}x60",
        },
        good={
            f'pg_stat_replication_pg_wal_lsn_diff{{{_FIRST},application_name="postgres-1",state="streaming",'
            'client_addr="10.88.0.8",server="localhost:5432"}': f"0x9 {65 * _MIB}x50",
            f'pg_settings_wal_keep_size_bytes{{{_FIRST},server="localhost:5432"}}': f"{256 * _MIB}x60",
        },
        silent_at="9m45s",
        firing_at="10m30s",
        labels={"job": "postgres", "instance": "10-88-0-7", "application_name": "postgres-1"},
    ),
    Scenario(
        alert="PostgresMetricsIncomplete",
        bad={f'pg_scrape_collector_success{{{_FIRST},collector="wal"}}': "1x9 0x50"},
        good={f'pg_scrape_collector_success{{{_FIRST},collector="wal"}}': "1x9 0x8 1x50"},
        silent_at="9m45s",
        firing_at="10m30s",
        labels={"job": "postgres", "instance": "10-88-0-7"},
    ),
    Scenario(
        alert="PostgresMetricsIncomplete",
        bad={f"pg_exporter_last_scrape_error{{{_FIRST}}}": "0x9 1x50"},
        good={f"pg_exporter_last_scrape_error{{{_FIRST}}}": "0x9 1x8 0x50"},
        silent_at="9m45s",
        firing_at="10m30s",
        labels={"job": "postgres", "instance": "10-88-0-7"},
    ),
    Scenario(
        alert="PostgresDiskFilling",
        bad={f"pg_volume_used_bytes{{{_FIRST}}}": "10x9 76x50", f"pg_volume_size_bytes{{{_FIRST}}}": "100x60"},
        good={f"pg_volume_used_bytes{{{_FIRST}}}": "10x9 74x50", f"pg_volume_size_bytes{{{_FIRST}}}": "100x60"},
        silent_at="9m45s",
        firing_at="10m45s",
        labels={"job": "postgres", "instance": "10-88-0-7"},
    ),
    Scenario(
        alert="PostgresConnectionsNearLimit",
        bad={
            f'pg_stat_database_numbackends{{{_FIRST},datname="grafana",datid="1"}}': "10x9 80x50",
            f'pg_stat_database_numbackends{{{_FIRST},datname="postgres",datid="2"}}': "1x60",
            f'pg_settings_max_connections{{{_FIRST},server="localhost:5432"}}': "100x60",
        },
        good={
            f'pg_stat_database_numbackends{{{_FIRST},datname="grafana",datid="1"}}': "10x9 78x50",
            f'pg_stat_database_numbackends{{{_FIRST},datname="postgres",datid="2"}}': "1x60",
            f'pg_settings_max_connections{{{_FIRST},server="localhost:5432"}}': "100x60",
        },
        silent_at="9m45s",
        firing_at="10m45s",
        labels={"job": "postgres", "instance": "10-88-0-7"},
    ),
    Scenario(
        alert="PostgresChecksumFailures",
        bad={f'pg_checksum_failures{{{_FIRST},datname="grafana",server="localhost:5432"}}': "0x9 1x50"},
        good={f'pg_checksum_failures{{{_FIRST},datname="grafana",server="localhost:5432"}}': "0x60"},
        silent_at="4m45s",
        firing_at="5m15s",
        labels={"job": "postgres", "instance": "10-88-0-7", "datname": "grafana", "server": "localhost:5432"},
    ),
    Scenario(
        alert="PostgresLongTransaction",
        bad={f"pg_long_running_transactions_oldest_timestamp_seconds{{{_FIRST}}}": "0+30x60"},
        good={f"pg_long_running_transactions_oldest_timestamp_seconds{{{_FIRST}}}": "0+30x30 0+30x30"},
        silent_at="16m15s",
        firing_at="17m",
        labels={"job": "postgres", "instance": "10-88-0-7"},
    ),
    Scenario(
        alert="PostgresDeadlocks",
        bad={_up(_FIRST): "1x60", f'pg_stat_database_deadlocks{{{_FIRST},datname="grafana",datid="1"}}': "0x9 1x50"},
        good={
            _up(_FIRST): "1x60",
            f'pg_stat_database_deadlocks{{{_FIRST},datname="grafana",datid="1"}}': "3x60",
            f'pg_stat_database_deadlocks{{{_FIRST},datname="template1",datid="2"}}': "0x9 1x50",
        },
        silent_at="4m45s",
        firing_at="5m30s",
        labels={"job": "postgres", "instance": "10-88-0-7", "datname": "grafana"},
    ),
)
