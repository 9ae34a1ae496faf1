"""Rules about the search cluster: is it whole, does it take writes, and is what is old deleted?"""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity

_JOB = 'job="index-manager"'
_STALLED_S = 300
_DISK = 0.85
_HEAP = 0.85

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="search",
        rules=(
            Alert(
                name="SearchClusterRed",
                expr=f"search_cluster_status{{{_JOB}}} == 2",
                # Longer than the time between two runs of the index manager: a new index is red for a moment.
                for_="40s",
                severity=Severity.CRITICAL,
                summary="Some traces or logs have no copy on any node of the search cluster",
                description="Searches miss them and writes to them are refused; what comes in waits in Kafka.",
                annotations={
                    "summary_ja": "検索クラスターのトレースまたはログの一部が、どのノードにもありません",
                    "description_ja": "検索結果から欠け、書き込みは拒否されます。新しいデータは Kafka で待機します。",
                },
            ),
            Alert(
                name="SearchClusterYellow",
                expr=f"search_cluster_status{{{_JOB}}} == 1",
                for_="15m",
                severity=Severity.MEDIUM,
                summary="Some traces or logs have one copy less than they should",
                description="Everything is found and written. One more lost node or disk may lose data.",
                annotations={
                    "summary_ja": "トレースまたはログの一部でコピーが 1 つ不足しています",
                    "description_ja": "検索も書き込みも可能です。さらにノードやディスクを失うとデータが消える恐れが"
                    "あります。",
                },
            ),
            Alert(
                name="SearchNodeMissing",
                expr=f"search_nodes{{{_JOB}}} < search_nodes_expected{{{_JOB}}}",
                for_="3m",
                severity=Severity.HIGH,
                summary="The search cluster has {{ $value }} nodes, fewer than it should",
                description="The others do its work. With half of the nodes gone, nothing is written any more.",
                annotations={
                    "summary_ja": "検索クラスターのノードが {{ $value }} 台に減っています",
                    "description_ja": "残りのノードで動作中です。半数を失うと書き込みが止まります。",
                },
            ),
            Alert(
                name="SearchClusterUnknown",
                expr=f"absent(search_cluster_status{{{_JOB}}})",
                for_="90s",
                severity=Severity.HIGH,
                summary="Nobody knows the state of the search cluster",
                description="It has not answered the index manager for three to four minutes, as when half of its "
                "nodes are gone, or the index manager is. Traces and logs wait in Kafka; the other alerts on the "
                "cluster are blind.",
                annotations={
                    "summary_ja": "検索クラスターの状態が不明です",
                    "description_ja": "クラスターまたはインデックス管理プログラムが 3 分から 4 分応答していません。"
                    "トレースとログは Kafka で待機します。",
                },
            ),
            Alert(
                name="SearchDiskFull",
                expr=f"search_node_disk_used_ratio{{{_JOB}}} > {_DISK}",
                for_="5m",
                severity=Severity.HIGH,
                summary="The disk of {{ $labels.node }} is {{ $value | humanizePercentage }} full",
                description="It gets no further copies; at the last watermark its indices take no more writes.",
                annotations={
                    "summary_ja": "{{ $labels.node }} のディスク使用率が {{ $value | humanizePercentage }} です",
                    "description_ja": "新しいコピーを受け取りません。"
                    "限界を超えるとインデックスに書き込めなくなります。",
                },
            ),
            Alert(
                name="SearchHeapHigh",
                expr=f"min_over_time(search_node_heap_used_ratio{{{_JOB}}}[10m]) > {_HEAP}",
                for_="2m",
                severity=Severity.MEDIUM,
                summary="The Java heap of {{ $labels.node }} stays {{ $value | humanizePercentage }} full",
                description="The node collects garbage all the time; soon it refuses requests, then it restarts.",
                annotations={
                    "summary_ja": "{{ $labels.node }} の Java ヒープ使用率が {{ $value | humanizePercentage }} のま"
                    "まです",
                    "description_ja": "ガベージコレクションが続いています。やがて要求を拒否し、再起動します。",
                },
            ),
            Alert(
                name="SearchWritesRejected",
                expr=f'increase(search_node_rejected_total{{{_JOB},pool="write"}}[5m]) > 0',
                for_="2m",
                severity=Severity.HIGH,
                summary="{{ $labels.node }} refuses writes: {{ $value }} in five minutes",
                description="More comes in than it can index. Writers try again, and Kafka holds the rest meanwhile.",
                annotations={
                    "summary_ja": "{{ $labels.node }} が 5 分間に {{ $value }} 件の書き込みを拒否しました",
                    "description_ja": "流入が処理能力を超えています。書き込み側は再試行し、残りは Kafka で待機します。",
                },
            ),
            Alert(
                name="IndexManagerStalled",
                expr=f"time() - index_manager_last_success_timestamp_seconds{{{_JOB}}} > {_STALLED_S} "
                f"or absent(index_manager_last_success_timestamp_seconds{{{_JOB}}})",
                for_="2m",
                severity=Severity.HIGH,
                summary="The index manager has not finished a round for five minutes",
                description="No index is begun or deleted, changed passwords are not applied, and the metrics of "
                "the cluster may be missing: the other alerts on it may be blind.",
                annotations={
                    "summary_ja": "インデックス管理プログラムが 5 分間処理を終えていません",
                    "description_ja": "インデックスの作成と削除、パスワードの反映が止まり、"
                    "他のアラートも機能しない恐れがあります。",
                },
            ),
            Alert(
                name="SearchIndexTooOld",
                expr=f"search_family_oldest_age_seconds{{{_JOB}}} > search_family_keep_seconds{{{_JOB}}} "
                f"+ 2 * search_family_rollover_seconds{{{_JOB}}}",
                for_="30m",
                severity=Severity.MEDIUM,
                summary="The oldest index of {{ $labels.family }} should have been deleted",
                description="Data is kept for longer than was promised, and the disks fill up.",
                annotations={
                    "summary_ja": "{{ $labels.family }} の最古のインデックスが削除されていません",
                    "description_ja": "約束より長くデータが残り、ディスクが埋まっていきます。",
                },
            ),
        ),
    ),
)
