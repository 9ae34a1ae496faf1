"""Rules about the metrics store: the replicas, what they scrape and are fed, what they tell, and who reads them.

Do the replicas hold the same, and would they tell the same? Each sees only its own samples, and of the others what they
say about themselves. One of those figures is the number of results of each group of rules. So a group that counts what
a replica holds makes the replicas comparable, and costs a few series.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.prometheus.thanos_rules import (
    ALERTMANAGER_PORT,
    QUERY,
    RULER_INHIBITIONS,
    RULER_RULES,
    block_rules,
)
from components.rules import FRESH_S, Alert, Inhibition, Reads, Recording, RuleGroup, Severity, any_of
from components.shards import SERVER_PATTERN
from components.telemetry.layers import LAYER_NAMES

_GROUP = "pair-"
_RESULTS = f'prometheus_rule_group_last_evaluation_samples{{job=~"prometheus-.+",rule_group=~".+;{_GROUP}.+"}}'
_WHAT = f'label_replace({_RESULTS}, "what", "$1", "rule_group", ".+;{_GROUP}(.+)")'
_SEEN = f'label_replace({_WHAT}, "shard", "$1", "job", ".+-shard-([0-9]+)")'
"""Each shard has its own part: a server is compared with the one of the same shard."""
_MISSING = f"1 - {_SEEN} / on (what, shard) group_left () max by (what, shard) ({_SEEN})"
_CATCHING_UP = 'deriv(obs:consumer_lag:sum{consumergroup=~"metrics-consumer-.+"}[5m]) < -1'
_FED_BY = f'"consumergroup", "metrics-consumer-$1", "job", "prometheus-{SERVER_PATTERN}"'
_DISAGREES = f"label_replace(max by (job, what) ({_MISSING}) > 0.2, {_FED_BY})"

PAIR: tuple[RuleGroup, ...] = (
    RuleGroup(
        name=f"{_GROUP}senders",
        rules=(Recording(record="obs:pair_senders:count", expr='count by (layer, job) (target_info{layer!=""})'),),
        reads=Reads.SHARD,
    ),
    RuleGroup(
        name=f"{_GROUP}alerts",
        rules=(Recording(record="obs:pair_alerts:count", expr='count by (alertname) (ALERTS{alertstate="firing"})'),),
    ),
    RuleGroup(
        name="pairs",
        rules=(
            Alert(
                name="PrometheusPairDisagrees",
                expr=f"max by (job, what) ({_DISAGREES} unless on (consumergroup) {_CATCHING_UP})",
                for_="15m",
                severity=Severity.MEDIUM,
                summary="{{ $labels.job }} sees {{ $value | humanizePercentage }} fewer {{ $labels.what }} than the "
                "other replica",
                description="The replicas should hold the same. One of them is not fed, does not reach its targets, "
                "or lost data; what readers and alerts see depends on which one answers.",
                annotations={
                    "summary_ja": "{{ $labels.job }} の {{ $labels.what }} がもう一方より "
                    "{{ $value | humanizePercentage }} 少なくなっています",
                    "description_ja": "本来は同じ内容です。供給か収集の障害、またはデータの喪失で、"
                    "どちらが答えるかで結果が変わります。",
                },
            ),
        ),
    ),
)


_SELF = 'job=~"prometheus-.+"'
_TELLS = f'{_SELF},job!~".+-shard-[0-9]+"'
"""The first shards: the others raise no alerts."""
_ALERTMANAGERS = f'{_SELF},alertmanager=~".+:{ALERTMANAGER_PORT}/.+"'
"""Receivers by their URLs, without the service of alert events, which takes alerts but notifies nobody."""
_EVALUATES = 'job=~"(prometheus|thanos-rule)-.+"'
_OWN_ALERTS = "prometheus-.+|probe-.+"
"""Jobs with alerts of their own for targets that do not answer."""
_UP = f'up{{job!~"{_OWN_ALERTS}"}}'
_CLOCKS = (
    "prometheus_rule_group_last_evaluation_timestamp_seconds",
    "kafka_lag_last_success_timestamp_seconds",
    "index_manager_last_success_timestamp_seconds",
    "log_indexer_last_write_timestamp_seconds",
)
"""Moments by the clocks of other machines, always in the past."""


def targets(jobs: Sequence[str]) -> RuleGroup:
    """Does every workload answer?"""
    return RuleGroup(
        name="targets",
        rules=(
            Alert(
                name="TargetDown",
                expr=f"{_UP} == 0 and time() - timestamp({_UP}) < {FRESH_S}",
                for_="1m",
                severity=Severity.HIGH,
                summary="{{ $labels.job }} {{ $labels.instance }} does not answer",
                description="Its metrics endpoint cannot be scraped: the pod is down, not reachable, or its password "
                "or certificate is wrong.",
                annotations={
                    "summary_ja": "{{ $labels.job }} {{ $labels.instance }} が応答しません",
                    "description_ja": "ポッドの停止、到達不能、またはパスワードか証明書の誤りです。",
                },
            ),
            Alert(
                name="TargetMissing",
                expr=any_of(f'absent(up{{job="{job}"}})' for job in sorted(jobs)),
                for_="2m",
                severity=Severity.HIGH,
                summary="No pod of {{ $labels.job }} is found",
                description="The name of its Service gives no addresses: the workload is gone, or DNS fails.",
                annotations={
                    "summary_ja": "{{ $labels.job }} のポッドが見つかりません",
                    "description_ja": "サービス名に宛先がありません。ワークロードがないか、DNS の障害です。",
                },
            ),
        ),
    )


def environment() -> RuleGroup:
    """Does DNS answer, and do the clocks agree?"""
    failures, lookups = (
        f"sum by (job, instance) (rate(prometheus_sd_dns_lookup{kind}_total{{{_SELF}}}[2m]))"
        for kind in ("_failures", "s")
    )
    clocks = f'{{__name__=~"{"|".join(_CLOCKS)}"}}'
    return RuleGroup(
        name="environment",
        rules=(
            Alert(
                name="DnsLookupsFail",
                expr=f"{failures} / {lookups} > 0.2",
                for_="1m",
                severity=Severity.HIGH,
                summary="{{ $value | humanizePercentage }} of the DNS lookups of {{ $labels.instance }} fail",
                description="The cluster's DNS does not answer. Programs that connect anew find nobody; those that "
                "are connected go on for a while.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} の DNS 検索の {{ $value | humanizePercentage }} が失敗して"
                    "います",
                    "description_ja": "クラスターの DNS が応答しません。新たな接続ができず、既存の接続だけが続きます。",
                },
            ),
            Alert(
                name="ClockSkew",
                expr=f"max by (job, instance) ({clocks} - timestamp({clocks})) > 5",
                for_="2m",
                severity=Severity.MEDIUM,
                summary="The clock of {{ $labels.instance }} is {{ $value | humanizeDuration }} ahead of Prometheus'",
                description="One of both machines has the wrong time: samples, spans and logs are put at wrong "
                "moments, and certificates may be refused.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} の時計が Prometheus より {{ $value | humanizeDuration }} "
                    "進んでいます",
                    "description_ja": "どちらかの時刻が誤っています。データの時刻がずれ、"
                    "証明書が拒否される恐れがあります。",
                },
            ),
        ),
    )


_STORAGE_FAILURES = (
    "compactions_failed",
    "checkpoint_creations_failed",
    "checkpoint_deletions_failed",
    "head_truncations_failed",
    "mmap_chunk_corruptions",
    "reloads_failures",
    "wal_corruptions",
    "wal_truncations_failed",
    "wal_writes_failed",
    "out_of_order_wbl_writes_failed",
)
_STORED = ("storage_blocks_bytes", "wal_storage_size_bytes", "out_of_order_wbl_storage_size_bytes")
_CHUNKS = "head_chunks_storage_size_bytes"
_BLOCK_S = 7200
DISK_HIGH = 0.85
"""Used share of a replica's volume above which somebody is told."""
SERIES_BYTES = 4096
"""Memory that a series in the head takes, with its chunks and its part of the index."""
_HEAD_SHARE = 0.7
"""Part of a replica's memory that the head may take: queries, compactions and what comes in take the rest."""
HEAD_HIGH = 0.8
"""Used share of what a replica's memory holds of series above which somebody is told."""

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(
        source=("PrometheusDown",),
        targets=("ThanosSidecarCutOff",),
        equal=("instance",),
        reason="A server that is down does not answer its sidecar, in the same pod, either.",
    ),
    Inhibition(
        source=("PrometheusDown",),
        targets=("PrometheusPairDisagrees",),
        equal=("job",),
        reason="A replica that is down sees less than the other one.",
    ),
    Inhibition(
        source=("ThanosQueryDown",),
        targets=("TargetDown", "TargetMissing"),
        equal=("job",),
        reason="It says that all pods of the query are gone, which these say of each.",
    ),
    Inhibition(
        source=("PrometheusCannotNotify",),
        targets=("AlertsNotDelivered",),
        equal=("job",),
        reason="Nobody takes its alerts: then there is no need to name each who does not.",
    ),
    Inhibition(
        source=("ThanosShipFailing",),
        targets=("ThanosShipStalled",),
        equal=("job",),
        reason="Blocks that cannot be shipped do not arrive.",
    ),
    Inhibition(
        source=("ConsumerStalled",),
        targets=("ConsumerFallsShort",),
        equal=("job",),
        reason="A consumer that writes nothing writes too little.",
    ),
    *RULER_INHIBITIONS,
)


def prometheus_rules(
    jobs: Sequence[str],
    *,
    volume_bytes: int,
    memory_bytes: int,
    block_duration_s: int = _BLOCK_S,
    ruled: bool = False,
) -> tuple[RuleGroup, ...]:
    """Rules for Prometheus replicas that scrape ``jobs``.

    Args:
        jobs: Names of all scrape jobs; the alert about a missing job cannot be written without knowing them.
        volume_bytes: Size of each replica's volume.
        memory_bytes: Memory limit of each replica.
        block_duration_s: Time that a block covers, in seconds. Rules about shipped blocks are silent where none are.
        ruled: Whether there are rulers.
    """
    return (
        targets(jobs),
        _store(volume_bytes, memory_bytes),
        _rules(),
        *PAIR,
        QUERY,
        block_rules(block_duration_s),
        environment(),
        _freshness(),
        *(RULER_RULES if ruled else ()),
    )


def head_capacity(memory_bytes: int) -> int:
    """Series that a replica with so much memory holds."""
    return int(memory_bytes * _HEAD_SHARE) // SERIES_BYTES


def _store(volume_bytes: int, memory_bytes: int) -> RuleGroup:
    stored = " + ".join(f"prometheus_tsdb_{size}{{{_SELF}}}" for size in _STORED)
    return RuleGroup(
        name="prometheus",
        rules=(
            Alert(
                name="PrometheusDown",
                # Of a server that was taken away, the last scrape is known for five minutes more.
                expr=f"up{{{_SELF}}} == 0 and time() - timestamp(up{{{_SELF}}}) < {FRESH_S}",
                for_="1m",
                severity=Severity.HIGH,
                summary="Prometheus {{ $labels.instance }} does not answer",
                description="The other replica answers readers and raises alerts meanwhile. Kafka keeps what this one "
                "misses; it catches up by itself.",
                annotations={
                    "summary_ja": "Prometheus {{ $labels.instance }} が応答しません",
                    "description_ja": "もう一方が照会とアラートを続けます。不足分は Kafka から自動で補われます。",
                },
            ),
            Alert(
                name="PrometheusConfigRejected",
                expr=f"min by (job, instance) (prometheus_config_last_reload_successful{{{_SELF}}}) == 0",
                for_="1m",
                severity=Severity.HIGH,
                summary="Prometheus {{ $labels.instance }} refused its configuration or its rules",
                description="It works with those before, so what was changed does not hold, and would not start again.",
                annotations={
                    "summary_ja": "Prometheus {{ $labels.instance }} が設定またはルールを拒否しました",
                    "description_ja": "以前の設定で動作中で、変更は反映されていません。再起動すると起動できません。",
                },
            ),
            Alert(
                name="PrometheusNotReady",
                expr=f"prometheus_ready{{{_SELF}}} == 0",
                for_="15m",
                severity=Severity.HIGH,
                summary="Prometheus {{ $labels.instance }} has been starting for a quarter of an hour",
                description="It reads its write-ahead log, which is very long or damaged. Until it is done, it takes "
                "no samples and raises no alerts.",
                annotations={
                    "summary_ja": "Prometheus {{ $labels.instance }} の起動が 15 分続いています",
                    "description_ja": "書き込みログが非常に長いか壊れています。終わるまで収集もアラートも行いません。",
                },
            ),
            Recording(
                record="obs:prometheus_disk_used:ratio",
                expr=f"({stored} + on (job, instance) prometheus_tsdb_{_CHUNKS}{{{_SELF}}}) / {volume_bytes}",
            ),
            Alert(
                name="PrometheusDiskFilling",
                expr=f"obs:prometheus_disk_used:ratio > {DISK_HIGH}",
                for_="1m",
                severity=Severity.HIGH,
                summary="Samples take {{ $value | humanizePercentage }} of the volume of {{ $labels.instance }}",
                description="When it is full, Prometheus takes nothing more. Its retention by size is too large for "
                "the volume, or its write-ahead log does not shrink.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} のボリュームの {{ $value | humanizePercentage }} をサンプ"
                    "ルが占めています",
                    "description_ja": "満杯になると何も保存できません。保持サイズが大きすぎるか、"
                    "書き込みログが縮みません。",
                },
            ),
            Recording(
                record="obs:prometheus_head_used:ratio",
                expr=f"prometheus_tsdb_head_series{{{_SELF}}} / {head_capacity(memory_bytes)}",
            ),
            Alert(
                name="PrometheusHeadFilling",
                expr=f"obs:prometheus_head_used:ratio > {HEAD_HIGH:g}",
                for_="5m",
                severity=Severity.HIGH,
                summary="{{ $labels.instance }} has {{ $value | humanizePercentage }} of the series that its memory "
                "holds",
                description="When it has them all, it is ended for want of memory, and so is the other replica, which "
                "holds the same. Series budgets bound what layers create; the platform's own parts have none.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} の時系列がメモリー上限の {{ $value | humanizePercentage }} に"
                    "達しています",
                    "description_ja": "上限に達するとメモリー不足で停止します。もう一方も同じ内容です。"
                    "レイヤーの時系列は予算で制限されますが、基盤自身にはありません。",
                },
            ),
            Alert(
                name="PrometheusStorageFails",
                expr=any_of(
                    f"increase(prometheus_tsdb_{counter}_total{{{_SELF}}}[15m]) > 0" for counter in _STORAGE_FAILURES
                ),
                for_="0s",
                severity=Severity.HIGH,
                summary="Prometheus {{ $labels.instance }} cannot write, tidy up or read its data",
                description="Its volume is full or broken, or its files are damaged. What it holds may have gaps; the "
                "other replica has the data.",
                annotations={
                    "summary_ja": "Prometheus {{ $labels.instance }} がデータの書き込み・整理・読み込みに失敗しました",
                    "description_ja": "ボリュームの満杯や故障、またはファイルの破損です。データはもう一方にあります。",
                },
            ),
            Alert(
                name="PrometheusRefusesOldSamples",
                expr="sum by (job, instance) (increase(prometheus_tsdb_too_old_samples_total[10m])) > 0",
                for_="0s",
                severity=Severity.MEDIUM,
                summary="{{ $labels.instance }} refuses samples that are older than its out-of-order window",
                description="It was down for longer than the window, or a sender's clock is wrong: a gap stays.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} が許容時間より古いサンプルを拒否しています",
                    "description_ja": "停止が許容時間を超えたか、送信側の時計が誤っています。欠落が残ります。",
                },
            ),
        ),
    )


def _rules() -> RuleGroup:
    missed, all_rounds = (
        f"sum by (job, instance) (rate(prometheus_rule_group_iterations_{kind}total{{{_EVALUATES}}}[5m]))"
        for kind in ("missed_", "")
    )
    notifications = "prometheus_notifications"
    return RuleGroup(
        name="prometheus-alerts",
        rules=(
            Alert(
                name="PrometheusRuleFailures",
                expr=f"sum by (job, instance) (increase(prometheus_rule_evaluation_failures_total{{{_SELF}}}[5m])) > 0",
                for_="1m",
                severity=Severity.HIGH,
                summary="Rules of {{ $labels.instance }} fail",
                description="Alerts that depend on them may not fire.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} のルールの評価に失敗しています",
                    "description_ja": "依存するアラートが出ない恐れがあります。",
                },
            ),
            Alert(
                name="PrometheusRulesLate",
                expr=f"{missed} / {all_rounds} > 0.1",
                for_="5m",
                severity=Severity.HIGH,
                summary="{{ $labels.instance }} leaves out {{ $value | humanizePercentage }} of its rounds of rules",
                description="A round takes longer than the time between two: alerts come late. Its processor is busy, "
                "or a rule reads too much.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} がルール評価の {{ $value | humanizePercentage }} を飛ばし"
                    "ています",
                    "description_ja": "評価が間隔内に終わらず、アラートが遅れます。CPU 不足か、重いルールです。",
                },
            ),
            Alert(
                name="PrometheusCannotNotify",
                # Prometheus counts for every receiver that it finds, from 0, and forgets those that it finds no more.
                expr=f"sum by (job, instance) (rate({notifications}_sent_total{{{_ALERTMANAGERS}}}[1m])) == 0 and "
                f"sum by (job, instance) (rate({notifications}_errors_total{{{_ALERTMANAGERS}}}[1m])) > 0 "
                f"or max by (job, instance) ({notifications}_alertmanagers_discovered{{{_TELLS}}}) "
                f"unless on (job, instance) {notifications}_sent_total{{{_ALERTMANAGERS}}}",
                for_="30s",
                severity=Severity.HIGH,
                summary="Nobody takes the alerts of {{ $labels.instance }}",
                description="No Alertmanager is found, or none takes alerts from it. If that is so for every replica, "
                "nobody is notified of anything: then the dead man's switch outside the platform tells.",
                annotations={
                    "summary_ja": "{{ $labels.instance }} のアラートを受け取る相手がいません",
                    "description_ja": "Alertmanager が見つからないか、受け取りません。全台なら誰にも通知されず、"
                    "外部の死活監視だけが知らせます。",
                },
            ),
        ),
    )


def _freshness() -> RuleGroup:
    newest = "obs:layer_newest_sample:timestamp_seconds"
    return RuleGroup(
        name="freshness",
        reads=Reads.LAYERS,
        rules=(
            # target_info: one series per sender, written with each of its requests.
            Recording(record=newest, expr='max by (layer) (timestamp(target_info{layer!=""}))'),
            Recording(record="obs:layer_age:seconds", expr=f"time() - max by (layer) (max_over_time({newest}[6h]))"),
            Alert(
                name="TelemetryStale",
                expr="obs:layer_age:seconds > 120",
                for_="30s",
                severity=Severity.HIGH,
                summary="Nothing from layer {{ $labels.layer }} for {{ $value | humanizeDuration }}",
                description="Its senders are silent, or their telemetry is stuck in the gateway, Kafka or a consumer.",
                annotations={
                    "summary_ja": "レイヤー {{ $labels.layer }} から {{ $value | humanizeDuration }} 何も届いていま"
                    "せん",
                    "description_ja": "送信側の停止、またはゲートウェイ、Kafka、コンシューマーでの滞留です。",
                },
            ),
            Alert(
                name="TelemetryAbsent",
                expr=any_of(f'absent(obs:layer_age:seconds{{layer="{name}"}})' for name in LAYER_NAMES),
                for_="15m",
                severity=Severity.MEDIUM,
                summary="Layer {{ $labels.layer }} sent nothing in the last hours",
                description="No sender of this layer is known: not connected yet, or silent for more than six hours.",
                annotations={
                    "summary_ja": "レイヤー {{ $labels.layer }} からここ数時間何も届いていません",
                    "description_ja": "未接続か、6 時間以上送信がありません。",
                },
            ),
        ),
    )
