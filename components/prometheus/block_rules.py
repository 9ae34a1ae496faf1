"""Rules about blocks in the object storage: do they arrive, can they be read, are they looked after?

That the store gateway or the compactor does not answer is told by the rules about all targets.
"""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity, any_of

_SIDECAR = 'job=~"thanos-sidecar-.+"'
_STORE = 'job="thanos-store"'
_COMPACT = 'job="thanos-compact"'
_QUERY = 'job="thanos-query"'
_BY = "by (job, instance)"
_UPLOADED = f"thanos_objstore_bucket_last_successful_upload_time{{{_SIDECAR}}}"
_SINCE_START = f"max {_BY} (process_start_time_seconds{{{_SIDECAR}}}) and on (job, instance) {_UPLOADED}"
_CONNECTIONS = f'thanos_store_nodes_grpc_connections{{{_QUERY},store_type="store"}}'
_ROUNDS = f"thanos_compact_iterations_total{{{_COMPACT}}}"
_BLOCKS_MISSED = 3
_ROUND_H = 6


def block_rules(block_duration_s: int) -> RuleGroup:
    """Rules for sidecars that ship a block every ``block_duration_s`` seconds."""
    return RuleGroup(
        name="blocks",
        rules=(*_shipping(_BLOCKS_MISSED * block_duration_s), *_reading(), _compacting()),
    )


def _increase(counter: str, job: str, window: str) -> str:
    return f"sum {_BY} (increase({counter}{{{job}}}[{window}]))"


def _shipping(most_s: int) -> tuple[Alert, ...]:
    shipper = "thanos_shipper"
    return (
        Alert(
            name="ThanosShipFailing",
            expr=any_of(
                (
                    # It tries twice a minute, and where one block fails goes on with the next.
                    f"({_increase(f'{shipper}_dir_sync_failures_total', _SIDECAR, '10m')} > 3"
                    f" unless {_increase(f'{shipper}_dir_syncs_total', _SIDECAR, '10m')} > 0)",
                    f"{_increase(f'{shipper}_upload_failures_total', _SIDECAR, '10m')} > 5",
                    f"{_increase(f'{shipper}_corrupted_blocks_total', _SIDECAR, '10m')} > 0",
                )
            ),
            for_="5m",
            severity=Severity.MEDIUM,
            summary="{{ $labels.job }} cannot ship blocks to the object storage",
            description="What was collected since then is on the replica's volume alone, and goes with it. The storage "
            "does not answer or refuses, or a block is damaged.",
            annotations={
                "summary_ja": "{{ $labels.job }} がブロックをオブジェクトストレージへ転送できません",
                "description_ja": "以後のデータはレプリカのボリュームにしかありません。"
                "ストレージの無応答か拒否、またはブロックの破損です。",
            },
        ),
        Alert(
            name="ThanosShipStalled",
            expr=f"time() - (max {_BY} ({_UPLOADED} > 0) or {_SINCE_START}) > {most_s}",
            for_="5m",
            severity=Severity.MEDIUM,
            summary="{{ $labels.job }} has shipped no block for {{ $value | humanizeDuration }}",
            description=f"{_BLOCKS_MISSED} blocks are missing in the object storage. Prometheus makes none, or the "
            "sidecar does not see them.",
            annotations={
                "summary_ja": "{{ $labels.job }} が {{ $value | humanizeDuration }} ブロックを転送していません",
                "description_ja": f"{_BLOCKS_MISSED} ブロック分が保管されていません。Prometheus がブロックを"
                "作らないか、サイドカーから見えません。",
            },
        ),
    )


def _reading() -> tuple[Alert, ...]:
    syncs, failures = (_increase(f"thanos_blocks_meta_sync{kind}_total", _STORE, "15m") for kind in ("s", "_failures"))
    return (
        Alert(
            name="ThanosHistoryMissing",
            # A pod of the query that reads no gateway at all has no such series.
            expr=f"(sum {_BY} ({_CONNECTIONS}) or 0 * sum {_BY} (up{{{_QUERY}}} == 1))"
            f" < on () group_left () count(up{{{_STORE}}} == 1)",
            for_="2m",
            severity=Severity.MEDIUM,
            summary="Thanos Query {{ $labels.instance }} reads only {{ $value }} store gateways",
            description="With none, answers leave out everything that is older than what Prometheus keeps.",
            annotations={
                "summary_ja": "Thanos Query {{ $labels.instance }} が {{ $value }} 台のストアゲートウェイしか"
                "読めません",
                "description_ja": "0 台なら、Prometheus の保持期間より古いデータが回答から欠けます。",
            },
        ),
        Alert(
            name="ThanosHistoryStale",
            expr=any_of(
                (
                    f"{failures} / ({syncs} > 0) > 0.9",
                    f"{_increase('thanos_bucket_store_block_load_failures_total', _STORE, '15m')} > 5",
                )
            ),
            for_="5m",
            severity=Severity.MEDIUM,
            summary="{{ $labels.job }} {{ $labels.instance }} does not see what is new in the object storage",
            description="The storage does not answer or refuses, or a block there is damaged. Answers from the gateway "
            "may lack blocks or fail.",
            annotations={
                "summary_ja": "{{ $labels.job }} {{ $labels.instance }} が新しいブロックを認識できません",
                "description_ja": "ストレージの無応答か拒否、またはブロックの破損です。"
                "回答が欠けたり失敗したりする恐れがあります。",
            },
        ),
    )


def _compacting() -> Alert:
    return Alert(
        name="ThanosCompactorHalted",
        expr=any_of(
            (
                f"max {_BY} (thanos_compact_halted{{{_COMPACT}}}) == 1",
                f"(sum {_BY} (increase({_ROUNDS}[{_ROUND_H}h])) == 0 and on (job, instance)"
                f" time() - process_start_time_seconds{{{_COMPACT}}} > {_ROUND_H * 3600})",
            )
        ),
        for_="10m",
        severity=Severity.MEDIUM,
        summary="The compactor of metrics has stopped working",
        description="Blocks are kept and can be read and restored; but they are not merged, and what is too old is not "
        "removed. The object storage grows.",
        annotations={
            "summary_ja": "メトリクスのコンパクターが停止しています",
            "description_ja": "ブロックの閲覧と復元は可能ですが、統合も期限切れの削除も行われず、"
            "ストレージが増え続けます。",
        },
    )
