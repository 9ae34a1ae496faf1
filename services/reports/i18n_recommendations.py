"""Texts of recommendations and of maintenance: English, Japanese."""

from __future__ import annotations

from typing import Final

RECOMMENDATIONS: Final[dict[str, tuple[str, str]]] = {
    "recommend.title": ("Recommendations", "推奨事項"),
    "recommend.table": ("What to do, and the metric that says so", "推奨事項と根拠となるメトリクス"),
    "recommend.none": (
        "Nothing to recommend: no rule is beyond its limit.",
        "推奨事項はありません。すべての規則が範囲内です。",
    ),
    "recommend.waiting": (
        "{count} of {all} rules need up to {days} days of measurements in the period and do not judge yet.",
        "{all} 規則のうち {count} は期間内に最大 {days} 日分の実測が必要なため、まだ判定していません。",
    ),
    "recommend.kafka-disk": (
        "Kafka's volume of {subject} reaches its limit in {value}: enlarge it, or shorten the retention of the "
        "largest topic",
        "{subject} の Kafka ボリュームは {value}で上限に達します。拡張するか、最大トピックの保持期間を短縮してください",
    ),
    "recommend.prometheus-disk": (
        "The volume of {subject} reaches its limit in {value}: lower its retention by size, or enlarge it",
        "{subject} のボリュームは {value}で上限に達します。保持サイズを下げるか、拡張してください",
    ),
    "recommend.search-disk": (
        "The disk of search node {subject} reaches its limit in {value}: add a node, or keep traces and logs for "
        "less time",
        "検索ノード {subject} のディスクは {value}で上限に達します。ノードを追加するか、保持期間を短縮してください",
    ),
    "recommend.object-storage": (
        "Object storage {subject} is {value} full: plan its extension, or check that transfers to ADLS free room",
        "オブジェクトストレージ {subject} の使用率は {value} です。拡張を計画するか、ADLS "
        "転送後の解放を確認してください",
    ),
    "recommend.lag-growing": (
        "Group {subject} falls behind by {value}: give it more consumers, or find out what slows its destination",
        "グループ {subject} の遅れが {value} で拡大しています。コンシューマーを増やすか、供給先の遅さを調べてください",
    ),
    "recommend.lag-peak": (
        "Group {subject} was {value} records behind at its worst: look at the time of the peak for a failure or "
        "a burst",
        "グループ {subject} の遅れは最大 {value} 件でした。ピーク時の障害や急増を確認してください",
    ),
    "recommend.budget": (
        "Objective {subject} has {value} of its error budget left: hold back risky changes, and mend what fails most",
        "目標 {subject} のエラーバジェットの残りは {value} です。リスクの高い変更を控え、"
        "主な失敗原因を修正してください",
    ),
    "recommend.heap-small": (
        "Kafka's heap was {value} full: give the brokers more memory",
        "Kafka のヒープ使用率は {value} に達しました。ブローカーのメモリーを増やしてください",
    ),
    "recommend.heap-large": (
        "Kafka never used more than {value} of its heap: the brokers could do with less memory",
        "Kafka のヒープ使用率は最大 {value} でした。ブローカーのメモリーを減らせます",
    ),
    "recommend.search-heap": (
        "Search node {subject} mostly has {value} of its heap in use: give it more memory, or keep fewer shards",
        "検索ノード {subject} のヒープ使用率は概ね {value} です。メモリーを増やすか、シャードを減らしてください",
    ),
    "recommend.brokers-busy": (
        "Request handlers of {subject} were idle for {value} only at busy times: give the brokers more processor time",
        "{subject} のリクエスト処理スレッドの空きは繁忙時 {value} だけでした。ブローカーの CPU を増やしてください",
    ),
    "recommend.brokers-idle": (
        "Request handlers of all brokers were idle for {value} even at busy times: they could do with less "
        "processor time",
        "全ブローカーのリクエスト処理スレッドは繁忙時でも {value} 空いています。CPU を減らせます",
    ),
    "recommend.files": (
        "{subject} has {value} of its open files in use: raise the limit, or look for connections that are not closed",
        "{subject} のファイル記述子の使用率は {value} です。上限を上げるか、閉じられない接続を調べてください",
    ),
    "recommend.rules-slow": (
        "Rules of {subject} take {value} of the time between two rounds: give it more processor time, or split "
        "the group",
        "{subject} のルール評価は間隔の {value} を占めます。CPU を増やすか、グループを分割してください",
    ),
    "recommend.queries-slow": (
        "Queries take {value} (P95), more than is promised to readers: record what dashboards ask often",
        "クエリ応答時間（P95）は {value} で、保証を超えています。よく使う問い合わせを記録ルールにしてください",
    ),
    "recommend.series-grow": (
        "Series of {subject} grow by {value} a week: look for a label with ever new values, or plan more memory",
        "{subject} の時系列が週 {value} で増えています。値が増え続けるラベルを調べるか、メモリー増設を計画してください",
    ),
    "recommend.restarts": (
        "{subject} restarted {value} times: look at why it ended (memory, probes)",
        "{subject} は {value} 回再起動しました。終了原因（メモリー、プローブ）を確認してください",
    ),
    "recommend.flapping": (
        "{subject} came and went {value} times: its network, its certificate or its load needs a look",
        "{subject} は応答の有無が {value} 回変わりました。ネットワーク、証明書、負荷を確認してください",
    ),
    "recommend.battery": (
        "{value} of the devices ran down to a fifth of their battery: plan spare batteries or charging between shifts",
        "端末の {value} でバッテリー残量が 2 割以下になりました。予備バッテリーや交代時の充電を計画してください",
    ),
    "recommend.pool": (
        "Database pool {subject} was {value} full: enlarge it, or look for slow statements",
        "DB プール {subject} の使用率は {value} に達しました。拡張するか、遅い SQL を調べてください",
    ),
    "recommend.certificate": (
        "The certificate of {subject} ends in {value} and was not renewed: look at its issuer",
        "{subject} の証明書は残り {value}で、更新されていません。発行元を確認してください",
    ),
    "recommend.noisy": (
        "{subject} fires often and ends after {median} (median): raise its hold time or its limit, or mend its cause",
        "{subject} は頻発し、中央値 {median}で収まっています。保持時間か閾値を見直すか、原因を修正してください",
    ),
    "maintenance.certificate": (
        "Renew the certificate of {subject}, or find out why it is not renewed by itself",
        "{subject} の証明書を更新するか、自動更新されない原因を確認してください",
    ),
    "maintenance.no-snapshot": (
        "No snapshot of the search cluster is known: set up snapshots, or have traces and logs in no backup",
        "検索クラスターのスナップショットがありません。設定しない限り、トレースとログはバックアップされません",
    ),
    "maintenance.old-snapshot": (
        "The last snapshot of the search cluster is old: look at the index manager",
        "検索クラスターの最終スナップショットが古くなっています。インデックス管理を確認してください",
    ),
    "maintenance.restarts": (
        "Find out why {subject} restarted so often",
        "{subject} の再起動が多い原因を確認してください",
    ),
    "maintenance.old-process": (
        "{subject} runs a process from before the last updates: plan its restart with the next patch",
        "{subject} に長期間稼働しているプロセスがあります。次回の更新時に再起動を計画してください",
    ),
}
