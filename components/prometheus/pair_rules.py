"""Rules about the replicas as a pair: do they hold the same, and would they tell the same?

Each replica sees only its own samples, and of the others what they say about themselves. One of those figures is the
number of results of each group of rules. So a group that counts what a replica holds makes the replicas comparable,
and costs a few series.
"""

from __future__ import annotations

from components.rules import Alert, Recording, RuleGroup, Severity

_GROUP = "pair-"
_RESULTS = f'prometheus_rule_group_last_evaluation_samples{{job=~"prometheus-.+",rule_group=~".+;{_GROUP}.+"}}'
_SEEN = f'label_replace({_RESULTS}, "what", "$1", "rule_group", ".+;{_GROUP}(.+)")'
_MISSING = f"1 - {_SEEN} / on (what) group_left () max by (what) ({_SEEN})"
_CATCHING_UP = 'deriv(obs:consumer_lag:sum{consumergroup=~"metrics-consumer-.+"}[5m]) < -1'
_REPLICA = '"job", "prometheus-$1", "consumergroup", "metrics-consumer-(.+)"'

PAIR: tuple[RuleGroup, ...] = (
    RuleGroup(
        name=f"{_GROUP}senders",
        rules=(Recording(record="obs:pair_senders:count", expr='count by (layer, job) (target_info{layer!=""})'),),
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
                expr=f"max by (job, what) ({_MISSING}) > 0.2 unless on (job) label_replace({_CATCHING_UP}, {_REPLICA})",
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
