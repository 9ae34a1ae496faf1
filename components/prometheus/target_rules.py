"""Rules about what Prometheus scrapes, and about what it needs of its environment: names and the time."""

from __future__ import annotations

from collections.abc import Sequence

from components.rules import Alert, RuleGroup, Severity, any_of

_SELF = 'job=~"prometheus-.+"'
_OWN_ALERTS = "prometheus-.+|probe-.+"
"""Jobs with alerts of their own for targets that do not answer."""
_UP = f'up{{job!~"{_OWN_ALERTS}"}}'
_FRESH_S = 45
"""A replica that starts again does not know which targets it had: for five minutes it finds their last scrapes."""
_CLOCKS = (
    "prometheus_rule_group_last_evaluation_timestamp_seconds",
    "kafka_lag_last_success_timestamp_seconds",
    "index_manager_last_success_timestamp_seconds",
    "log_indexer_last_write_timestamp_seconds",
)
"""Moments by the clocks of other machines, always in the past."""


def targets(jobs: Sequence[str]) -> RuleGroup:
    """Does every workload answer, and stay up?"""
    return RuleGroup(
        name="targets",
        rules=(
            Alert(
                name="TargetDown",
                expr=f"{_UP} == 0 and time() - timestamp({_UP}) < {_FRESH_S}",
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
            Alert(
                name="PodRestartsOften",
                expr=any_of(
                    (
                        "changes(process_start_time_seconds[30m]) > 2",
                        "resets(otelcol_process_uptime_seconds_total[30m]) > 2",
                    )
                ),
                for_="0s",
                severity=Severity.MEDIUM,
                summary="{{ $labels.job }} {{ $labels.instance }} has restarted {{ $value }} times in half an hour",
                description="It ends by itself, mostly for want of memory, or is ended because its probe fails. "
                "Between two restarts everything may look well.",
                annotations={
                    "summary_ja": "{{ $labels.job }} {{ $labels.instance }} が 30 分間に {{ $value }} 回再起動しました",
                    "description_ja": "多くはメモリー不足か、ヘルスチェックの失敗です。"
                    "再起動の合間は正常に見えることがあります。",
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
