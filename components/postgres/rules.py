"""Rules about PostgreSQL: does one server take writes, do the others follow, is there room, is the data sound?

Everything that a rule compares comes from the servers themselves, limits included, so the rules hold for any size.
"""

from __future__ import annotations

from components.rules import SETTLED, Alert, Inhibition, Recording, RuleGroup, Severity, grew

_JOB = 'job="postgres"'
_LEADING = f"count(pg_replication_is_replica{{{_JOB}}} == 0)"
_USED = "obs:postgres_disk_used:ratio"
_CONNECTED = "obs:postgres_connections_used:ratio"
_DEADLOCKS = f'pg_stat_database_deadlocks{{{_JOB},datname!~"template.*|"}}'

DISK_HIGH = 0.75
"""Used share of a server's volume. A server whose volume is full stops."""
CONNECTIONS_HIGH = 0.8
LONG_TRANSACTION_S = 900
KEPT_SHARE = 0.5
"""Share of the log that is kept for standbys, by which one of them may be behind."""

METRICS: tuple[str, ...] = (
    "pg_up",
    "pg_exporter_last_scrape_error",
    "pg_scrape_collector_success",
    "pg_replication_is_replica",
    "pg_standbys_streaming",
    "pg_standbys_wanted",
    "pg_stat_replication_pg_wal_lsn_diff",
    "pg_settings_wal_keep_size_bytes",
    "pg_stat_database_numbackends",
    "pg_settings_max_connections",
    "pg_stat_database_deadlocks",
    "pg_long_running_transactions_oldest_timestamp_seconds",
    "pg_checksum_failures",
    "pg_volume_used_bytes",
    "pg_volume_size_bytes",
)
"""What the rules read."""

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("PostgresDown",),
        targets=("PostgresMetricsIncomplete", "PostgresServerDown", "TargetDown", "TargetMissing"),
        equal=("job",),
        reason="It says that no server takes writes; that one of them does not answer is why.",
    ),
    Inhibition(
        source=("PostgresServerDown",),
        targets=("PostgresMetricsIncomplete",),
        equal=("job", "instance"),
        reason="A server that does not answer tells its exporter nothing.",
    ),
)

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="postgres",
        rules=(
            Alert(
                name="PostgresDown",
                expr=f"({_LEADING} or vector(0)) < 1 and on () {SETTLED}",
                for_="1m",
                severity=Severity.HIGH,
                summary="No PostgreSQL server takes writes",
                description="People cannot log in at Grafana or save anything; what they have open may stop. "
                "Metrics, logs, traces and alerts do not depend on it.",
                labels={"job": "postgres"},
                annotations={
                    "summary_ja": "書き込み可能な PostgreSQL サーバーがありません",
                    "description_ja": "Grafana へのログインと保存ができません。"
                    "メトリクス、ログ、トレース、アラートには影響しません。",
                },
            ),
            Alert(
                name="PostgresTwoPrimaries",
                expr=f"{_LEADING} > 1",
                for_="30s",
                severity=Severity.CRITICAL,
                summary="{{ $value }} PostgreSQL servers take writes",
                description="A standby was promoted while the old one still runs. What is written to the one that "
                "loses is gone.",
                labels={"job": "postgres"},
                annotations={
                    "summary_ja": "PostgreSQL サーバー {{ $value }} 台が書き込みを受け付けています",
                    "description_ja": "昇格後も旧プライマリーが動作中です。片方への書き込みは失われます。",
                },
            ),
            Alert(
                name="PostgresServerDown",
                expr=f"pg_up{{{_JOB}}} == 0",
                for_="2m",
                severity=Severity.MEDIUM,
                summary="The PostgreSQL server of {{ $labels.instance }} does not answer",
                description="Its exporter runs and cannot log in: the server starts, copies its data, or has stopped.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} の PostgreSQL サーバーが応答しません",
                    "description_ja": "エクスポーターは動作していますが接続できません。起動中か、停止しています。",
                },
            ),
            Alert(
                name="PostgresStandbyMissing",
                expr=f"pg_standbys_streaming{{{_JOB}}} < pg_standbys_wanted{{{_JOB}}}",
                for_="5m",
                severity=Severity.HIGH,
                summary="{{ $value }} standbys follow PostgreSQL, fewer than there shall be",
                description="Should the server that takes writes be lost, there is one copy less to go on with. "
                "Where there are two standbys or more and none follows, every commit waits.",
                annotations={
                    "summary_ja": "PostgreSQL に追従するスタンバイが {{ $value }} 台しかありません",
                    "description_ja": "プライマリーが失われた場合の代替が減っています。"
                    "スタンバイが 2 台以上の構成で 0 台になると、コミットが止まります。",
                },
            ),
            Alert(
                name="PostgresReplicationLag",
                expr=f"max by (job, instance, application_name) (pg_stat_replication_pg_wal_lsn_diff{{{_JOB}}}) "
                f"> on (job, instance) group_left () "
                f"{KEPT_SHARE} * max by (job, instance) (pg_settings_wal_keep_size_bytes{{{_JOB}}})",
                for_="5m",
                severity=Severity.MEDIUM,
                summary="Standby {{ $labels.application_name }} is {{ $value | humanize1024 }}B behind",
                description="It lacks the latest rows. Once it is further behind than the log that is kept for it, it "
                "has to be filled anew.",
                annotations={
                    "summary_ja": "スタンバイ {{ $labels.application_name }} が {{ $value | humanize1024 }}B "
                    "遅れています",
                    "description_ja": "最新の行がありません。保持されるログを超えて遅れると、再作成が必要です。",
                },
            ),
            Alert(
                name="PostgresMetricsIncomplete",
                expr=f"max by (job, instance) (pg_exporter_last_scrape_error{{{_JOB}}}) == 1 "
                f"or max by (job, instance) (pg_scrape_collector_success{{{_JOB}}} == 0) + 1",
                for_="5m",
                severity=Severity.MEDIUM,
                summary="The exporter of {{ $labels.instance }} gets no full answer from PostgreSQL",
                description="Alerts on PostgreSQL may be blind there.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} のエクスポーターが PostgreSQL の情報を取得できません",
                    "description_ja": "PostgreSQL のアラートが機能していない可能性があります。",
                },
            ),
        ),
    ),
    RuleGroup(
        name="postgres-room",
        rules=(
            Recording(
                record=_USED,
                expr=f"max by (job, instance) (pg_volume_used_bytes{{{_JOB}}}) "
                f"/ max by (job, instance) (pg_volume_size_bytes{{{_JOB}}})",
            ),
            Recording(
                record=_CONNECTED,
                expr=f"sum by (job, instance) (pg_stat_database_numbackends{{{_JOB}}}) "
                f"/ max by (job, instance) (pg_settings_max_connections{{{_JOB}}})",
            ),
            Alert(
                name="PostgresDiskFilling",
                expr=f"{_USED} > {DISK_HIGH}",
                for_="5m",
                severity=Severity.HIGH,
                summary="PostgreSQL takes {{ $value | humanizePercentage }} of the volume of {{ $labels.instance }}",
                description="When it is full, the server stops. Its standbys have volumes of the same size and the "
                "same data.",
                annotations={
                    "summary_ja": "PostgreSQL が {{ $labels.instance }} のボリュームの "
                    "{{ $value | humanizePercentage }} を使用しています",
                    "description_ja": "満杯になるとサーバーが停止します。スタンバイも同じ容量で同じデータです。",
                },
            ),
            Alert(
                name="PostgresConnectionsNearLimit",
                expr=f"{_CONNECTED} > {CONNECTIONS_HIGH}",
                for_="5m",
                severity=Severity.HIGH,
                summary="{{ $value | humanizePercentage }} of the connections of {{ $labels.instance }} are taken",
                description="When an owner has none left, its programs fail to connect: people get errors.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} の接続数が上限の {{ $value | humanizePercentage }} です",
                    "description_ja": "上限に達すると新しい接続が拒否され、利用者にエラーが出ます。",
                },
            ),
        ),
    ),
    RuleGroup(
        name="postgres-data",
        rules=(
            Alert(
                name="PostgresChecksumFailures",
                expr=f"pg_checksum_failures{{{_JOB}}} > 0",
                for_="0s",
                severity=Severity.CRITICAL,
                summary="{{ $value }} pages of database {{ $labels.datname }} on {{ $labels.instance }} are damaged",
                description="The disk gave back other bytes than were written. Rows may be lost, and a backup of this "
                "server may hold the damage.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} のデータベース {{ $labels.datname }} で {{ $value }} ページが"
                    "破損しています",
                    "description_ja": "ディスクから読んだ内容が書いた内容と違います。行が失われた可能性があります。",
                },
            ),
            Alert(
                name="PostgresLongTransaction",
                expr="max by (job, instance) "
                f"(pg_long_running_transactions_oldest_timestamp_seconds{{{_JOB}}}) > {LONG_TRANSACTION_S}",
                for_="1m",
                severity=Severity.MEDIUM,
                summary="A transaction on {{ $labels.instance }} has run for {{ $value | humanizeDuration }}",
                description="What is deleted meanwhile is not cleaned up, and others may wait for its locks.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} で {{ $value | humanizeDuration }} 続くトランザクションが"
                    "あります",
                    "description_ja": "不要な行を回収できず、他の処理がロック待ちになることがあります。",
                },
            ),
            Alert(
                name="PostgresDeadlocks",
                expr=grew(_DEADLOCKS, by="job, instance, datname", window="15m"),
                for_="0s",
                severity=Severity.LOW,
                summary="Transactions of database {{ $labels.datname }} stood in each other's way",
                description="PostgreSQL ended one of them, and its program was told; mostly it comes again.",
                annotations={
                    "summary_ja": "データベース {{ $labels.datname }} でデッドロックが発生しました",
                    "description_ja": "片方のトランザクションが中止されました。通常は再試行されます。",
                },
            ),
        ),
    ),
)
