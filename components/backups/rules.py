"""Rules about backups: from the backup exporter, and from what the archive of Kafka says of itself.

Both pods of the backup exporter see the same. An alert is raised when both say so: one that has just started, or that
cannot read for the moment, raises none. How old a backup may get follows from its schedule, and the backup exporter is
told; so no rule has a number for a kind.
"""

from __future__ import annotations

from components.rules import Alert, Inhibition, Recording, RuleGroup, Severity, any_of, fewer_up

_EXPORTER = 'job="backup-exporter"'
_ARCHIVE = 'job="kafka-archive"'
_LAG = 'kafka_consumergroup_lag{job="kafka-lag",consumergroup="archive"}'
_MISSING = f"min by (topic) (backup_archive_missing_records{{{_EXPORTER}}})"
_MISSING_BEFORE = f"min by (topic) (backup_archive_missing_records{{{_EXPORTER}}} offset 1d)"
_AGE = "obs:kafka_archive_age:seconds"

POLL_LIMIT_S = 900
"""How long nobody may have looked into the object storage."""
SIGNED_LIMIT_S = 900
"""How long a run may wait for its signature; the exporter polls every minute. As long as operators wait for it."""
RETENTION_LIMIT_S = 6 * 3600
"""How long nothing that is too old may have been removed; the exporter looks for it every hour."""
ARCHIVE_LIMIT_S = 300
"""How long nothing of a topic may have been stored while records wait: many times as long as a segment is gathered."""

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("BackupExporterDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="It says that none of its pods answers, which these say of each.",
    ),
    Inhibition(
        source=("BackupTooOld",),
        targets=("BackupDamaged",),
        equal=("job", "kind"),
        reason="No whole backup is young enough, whatever the damaged ones lack.",
    ),
    Inhibition(
        source=("BackupDamaged",),
        targets=("BackupUnsigned",),
        equal=("job", "kind"),
        reason="What is not whole is not signed.",
    ),
    Inhibition(
        source=("BackupExporterPollFailed",),
        targets=("BackupUnsigned",),
        equal=("job",),
        reason="Who cannot read the storage signs nothing.",
    ),
    Inhibition(
        source=("BackupExporterPollFailed",),
        targets=("BackupRetentionFailing",),
        equal=("job",),
        reason="Who cannot read the storage removes nothing.",
    ),
    Inhibition(
        source=("KafkaArchiveBehind",),
        targets=("KafkaArchiveFailing",),
        reason="That nothing is stored says more than that attempts fail.",
    ),
)

_RUNS = RuleGroup(
    name="backups",
    rules=(
        Alert(
            name="BackupTooOld",
            expr=f"min by (job, kind) (time() - backup_due_timestamp_seconds{{{_EXPORTER}}}) > 0",
            for_="5m",
            severity=Severity.HIGH,
            summary="The backup of kind {{ $labels.kind }} is too old",
            description="The next whole run should have been stored {{ $value | humanizeDuration }} ago, lateness and "
            "tries included. What changed since the last one is lost with its server.",
            annotations={
                "summary_ja": "バックアップ ({{ $labels.kind }}) が古くなっています",
                "description_ja": "保存されるべき時刻から {{ $value | humanizeDuration }} 経過しています。"
                "前回以降の変更は、サーバーを失うと復元できません。",
            },
        ),
        Alert(
            name="BackupDamaged",
            expr=f"min by (job, kind) (backup_damaged_runs{{{_EXPORTER}}}) > 0",
            for_="5m",
            severity=Severity.HIGH,
            summary="{{ $value }} of the newest backups of kind {{ $labels.kind }} are not whole",
            description="Their manifest cannot be read, or names objects that are missing or of another size: they "
            "were removed or changed. A restore takes the newest whole run, which is older.",
            annotations={
                "summary_ja": "最新のバックアップ ({{ $labels.kind }}) {{ $value }} 個が不完全です",
                "description_ja": "マニフェストが読めないか、オブジェクトが不足または変更されています。"
                "復元にはより古い完全なものが使われます。",
            },
        ),
        Alert(
            name="BackupForged",
            expr=f"min by (job, kind) (backup_refused_runs{{{_EXPORTER}}}) > 0",
            for_="1m",
            severity=Severity.HIGH,
            summary="{{ $value }} backups of kind {{ $labels.kind }} are not what a job of this platform made",
            description="Their manifest was changed, or made by somebody who may write to the bucket and has no key of "
            "the job. They are not signed, so a restore refuses them.",
            annotations={
                "summary_ja": "バックアップ ({{ $labels.kind }}) {{ $value }} 個は基盤のジョブによるものではありません",
                "description_ja": "マニフェストが変更されたか、ジョブの鍵を持たない者がバケットに書き込みました。"
                "署名されないため、復元は拒否されます。",
            },
        ),
        Alert(
            name="BackupUnsigned",
            expr="time() - max by (job, kind) "
            f"(backup_signed_until_timestamp_seconds{{{_EXPORTER}}}) > {SIGNED_LIMIT_S}",
            for_="1m",
            severity=Severity.HIGH,
            summary="A backup of kind {{ $labels.kind }} waits for its signature for {{ $value | humanizeDuration }}",
            description="The backup exporter signs each run within minutes. Until then a restore refuses it and takes "
            "an older one.",
            annotations={
                "summary_ja": "バックアップ ({{ $labels.kind }}) が {{ $value | humanizeDuration }} 署名されていません",
                "description_ja": "署名されるまで復元は拒否され、より古いバックアップが使われます。",
            },
        ),
        Alert(
            name="BackupRetentionFailing",
            expr="time() - max by (job) "
            f"(backup_last_retention_timestamp_seconds{{{_EXPORTER}}}) > {RETENTION_LIMIT_S}",
            for_="5m",
            # Nothing is lost: the bucket grows.
            severity=Severity.MEDIUM,
            summary="Backups that are too old are not removed, for {{ $value | humanizeDuration }}",
            description="The backup exporter alone removes them, and fails. New ones are stored and signed all the "
            "same; the bucket grows.",
            annotations={
                "summary_ja": "古いバックアップが {{ $value | humanizeDuration }} 削除されていません",
                "description_ja": "削除は backup-exporter だけが行い、失敗しています。新しいバックアップの保存と署名は"
                "続きますが、バケットが大きくなり続けます。",
            },
        ),
        Alert(
            name="MetricsBlocksTooOld",
            expr=f"min by (job, server) (time() - backup_metrics_due_timestamp_seconds{{{_EXPORTER}}}) > 0",
            for_="5m",
            # The server still has what is not shipped, and the other replica ships the same.
            severity=Severity.MEDIUM,
            summary="The stored blocks of metrics of Prometheus {{ $labels.server }} are too old",
            description="Its next block should have been stored {{ $value | humanizeDuration }} ago. It still has the "
            "samples; they are lost with it, unless the other replica ships the same ones.",
            annotations={
                "summary_ja": "Prometheus {{ $labels.server }} の保存されたメトリクスブロックが古くなっています",
                "description_ja": "保存されるべき時刻から {{ $value | humanizeDuration }} 経過しています。もう一方の"
                "レプリカが保存していなければ、失ったときにその間のメトリクスも失われます。",
            },
        ),
        Alert(
            name="BackupExporterPollFailed",
            expr=f"min by (job) (time() - backup_last_poll_timestamp_seconds{{{_EXPORTER}}}) > {POLL_LIMIT_S}",
            for_="1m",
            # As urgent as those that it blinds.
            severity=Severity.HIGH,
            summary="The object storage of the backups cannot be read",
            description="What is said of old, damaged and missing backups is as old as the last poll, and the next "
            "ones can hardly be stored.",
            annotations={
                "summary_ja": "バックアップのオブジェクトストレージを読めません",
                "description_ja": "バックアップの古さや不足を検知できません。次の保存もできない可能性があります。",
            },
        ),
        Alert(
            name="BackupExporterDown",
            expr=fewer_up(_EXPORTER, 1),
            for_="1m",
            severity=Severity.HIGH,
            summary="The backup exporter does not answer",
            description="Backups are made and stored all the same. Nobody is notified when one is missing.",
            labels={"job": "backup-exporter"},
            annotations={
                "summary_ja": "バックアップの監視 (backup-exporter) が応答しません",
                "description_ja": "バックアップの作成は続きますが、不足を検知できません。",
            },
        ),
    ),
)

_STORED = any_of(
    (
        f"kafka_archive_last_stored_timestamp_seconds{{{_ARCHIVE}}}",
        f"backup_archive_last_timestamp_seconds{{{_EXPORTER}}}",
    )
)
"""Of a topic whose consumer is gone, the backup exporter still knows."""

_TOPICS = RuleGroup(
    name="kafka-archive",
    rules=(
        Recording(record=_AGE, expr=f"time() - max by (topic) ({_STORED})"),
        Alert(
            name="KafkaArchiveBehind",
            expr=f"{_AGE} > {ARCHIVE_LIMIT_S} and on (topic) sum by (topic) ({_LAG}) > 0",
            # A record of a topic that was quiet is stored a minute after it came.
            for_="5m",
            severity=Severity.HIGH,
            summary="Nothing of {{ $labels.topic }} was archived for {{ $value | humanizeDuration }}, and records wait",
            description="They are in Kafka for the topic's retention, and nowhere else: with the brokers gone they are "
            "lost.",
            annotations={
                "summary_ja": "{{ $labels.topic }} のアーカイブが {{ $value | humanizeDuration }} 止まっています",
                "description_ja": "未保存のレコードは Kafka にのみあり、ブローカーを失うと失われます。",
            },
        ),
        Alert(
            name="KafkaArchiveFailing",
            expr=f"sum by (job) (rate(kafka_archive_failed_stores_total{{{_ARCHIVE}}}[5m])) > 0",
            # One attempt that fails is tried again by itself.
            for_="10m",
            severity=Severity.MEDIUM,
            summary="The archive of Kafka fails to store segments",
            description="Attempts fail again and again. Records wait in the archive's memory, then in Kafka, and none "
            "is passed over.",
            annotations={
                "summary_ja": "Kafka アーカイブの保存が失敗し続けています",
                "description_ja": "レコードはアーカイブのメモリ、次いで Kafka で待機し、読み飛ばしはありません。",
            },
        ),
        Alert(
            name="KafkaArchiveGap",
            expr=any_of(
                (
                    f"sum by (topic) (increase(kafka_archive_gap_records_total{{{_ARCHIVE}}}[1d])) > 0",
                    f"{_MISSING} - ({_MISSING_BEFORE} or 0 * {_MISSING}) > 0",
                )
            ),
            for_="10m",
            severity=Severity.HIGH,
            summary='{{ printf "%.0f" $value }} records are missing in the archive of {{ $labels.topic }}',
            description="Kafka's retention removed them before they were archived, or somebody removed a segment. It "
            "is told for a day. What Kafka still has can be archived again.",
            annotations={
                "summary_ja": '{{ $labels.topic }} のアーカイブに {{ printf "%.0f" $value }} 件の欠落があります',
                "description_ja": "アーカイブ前に Kafka の保持期間が過ぎたか、セグメントが削除されました。"
                "このアラートは 1 日間続きます。",
            },
        ),
    ),
)

RULES: tuple[RuleGroup, ...] = (_RUNS, _TOPICS)
