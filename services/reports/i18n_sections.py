"""Texts of the sections: English, Japanese."""

from __future__ import annotations

from typing import Final

SECTIONS: Final[dict[str, tuple[str, str]]] = {
    "summary.title": ("Summary", "概要"),
    "summary.lowest": ("Lowest uptime of a layer", "レイヤーの最低稼働率"),
    "summary.objectives": ("Objectives kept", "達成した目標"),
    "summary.alerts": ("Alerts", "アラート"),
    "summary.alerts-note": ("{critical} critical, {open} still firing", "緊急 {critical} 件、継続中 {open} 件"),
    "summary.worst": ("Tightest objective", "最も厳しい目標"),
    "summary.soonest": ("First limit reached", "最初の上限到達"),
    "uptime.title": ("Uptime and objectives", "稼働率と目標"),
    "uptime.layers": ("Layers", "レイヤー"),
    "uptime.layers-note": (
        "A layer is up while telemetry not older than two minutes is there from it. Observed: share of the "
        "period that anything is known of.",
        "2 分以内のテレメトリーが届いている間を稼働とします。観測率は、期間のうち記録がある割合です。",
    ),
    "uptime.parts": ("Parts of the platform", "監視基盤の構成要素"),
    "uptime.parts-note": (
        "A part is up while at least one of its instances answers. Instances up: the mean over all of them.",
        "1 台でも応答していれば稼働とします。個別稼働率は全台の平均です。",
    ),
    "slo.title": ("Service level objectives", "サービスレベル目標（SLO）"),
    "slo.note": (
        "Achieved: share of good events in the period. Budget left, period: what is left of the errors that the "
        "period may have. "
        "Time in violation: minutes in which more events were bad than promised.",
        "実績は期間中の正常イベントの割合です。残予算（期間）は許容されるエラーの残りです。違反時間は、"
        "許容を超えるエラーがあった時間の合計です。",
    ),
    "counts.title": ("Counts", "件数"),
    "counts.table": ("What happened", "活動量"),
    "counts.no-before": (
        "Nothing to compare with: metrics are stored for {history} only.",
        "比較対象がありません。メトリクスの保存期間は {history} です。",
    ),
    "items.table": ("Telemetry by layer", "レイヤー別テレメトリー"),
    "anomalies.title": ("Anomalies", "異常"),
    "anomalies.table": ("Hours unlike the same hours of earlier days", "過去の同時刻と異なる時間帯"),
    "anomalies.note": (
        "Deviation: distance from the median of the same hour of up to {days} earlier days, in robust standard "
        "deviations "
        "(median absolute deviation); told of from 3.5 on. Each line names its worst hour.",
        "偏差は、過去最大 {days} 日の同時刻の中央値からの距離（中央絶対偏差に基づく標準偏差単位）で、3.5 "
        "以上を記載します。各行は最も外れた 1 時間の値です。",
    ),
    "anomalies.no-values": ("No figure has a value for a whole hour.", "1 時間分の値がある項目はありません。"),
    "anomalies.too-little": (
        "Too little history to say what is usual: metrics are stored for {history}, and {days} earlier days are "
        "needed.",
        "平常値を判断するには履歴が不足しています。保存期間は {history}、必要なのは過去 {days} 日分です。",
    ),
    "anomalies.calm": (
        "Nothing unusual: {judged} of {hours} hours of {figures} figures could be compared with earlier days, "
        "and none was off.",
        "異常はありません。{figures} 項目の {hours} 時間分のうち {judged} 時間分を過去と比較し、"
        "外れはありませんでした。",
    ),
    "anomalies.some": (
        "{off} times something was off. {judged} of {hours} hours of {figures} figures could be compared with "
        "earlier days.",
        "{off} 件の外れがありました。{figures} 項目の {hours} 時間分のうち {judged} 時間分を過去と比較しました。",
    ),
    "alerts.title": ("Alerts", "アラート"),
    "alerts.priorities": ("By priority", "優先度別"),
    "alerts.note": (
        "Times: how often an alert began to fire. Notifications: what people were sent of it, escalations among them.",
        "件数はアラートの発生回数、通知数はエスカレーションを含む送信数です。",
    ),
    "alerts.urgent": ("Critical, High and Medium", "緊急・高・中"),
    "alerts.low": ("Low", "低"),
    "alerts.top": ("Most frequent", "発生の多い順"),
    "alerts.none": ("No alert fired.", "アラートはありませんでした。"),
    "alerts.none-urgent": ("No alert of these priorities fired.", "該当するアラートはありませんでした。"),
    "alerts.none-low": ("No alert of this priority fired.", "該当するアラートはありませんでした。"),
    "alerts.still": ("fires still", "継続中"),
    "alerts.unread": ("The alerts could not be read.", "アラートを取得できませんでした。"),
    "freshness.title": ("Freshness of the data", "データの鮮度"),
    "freshness.layers": ("Age of the newest telemetry", "最新テレメトリーの経過時間"),
    "freshness.note": ("Fresh is up to {limit}.", "{limit}以内を新鮮とします。"),
    "freshness.groups": ("Consumers of Kafka, in records", "Kafka コンシューマー（レコード数）"),
    "trends.title": ("Trends", "傾向"),
    "trends.table": ("Figures", "項目"),
    "trends.better": ("Figures that are better", "改善した項目"),
    "trends.worse": ("Figures that are worse", "悪化した項目"),
    "trends.of": ("of {count}", "{count} 項目中"),
    "trends.no-before": (
        "The week before is not known as a whole: metrics are stored for {history}. Changes are to what is known "
        "of it.",
        "前週のデータが揃っていません（保存期間 {history}）。増減は判明している範囲との比較です。",
    ),
    "resources.title": ("Use of resources", "リソース使用状況"),
    "resources.parts": ("Processor and memory by part", "構成要素別の CPU とメモリー"),
    "resources.note": (
        "All pods of a part together, in processors. Parts that report no processor time (search nodes, login "
        "proxies) are not here.",
        "構成要素の全 Pod の合計です（CPU はコア数）。CPU 時間を報告しない要素（検索ノード、"
        "ログインプロキシ）は含みません。",
    ),
    "resources.disks": ("Disks", "ディスク"),
    "resources.topics": ("Kafka topics", "Kafka トピック"),
    "budget.title": ("Error budgets", "エラーバジェット"),
    "budget.table": ("Use of the error budgets", "エラーバジェットの消費"),
    "budget.note": (
        "Burn rate 1 uses the budget up exactly at the end of 30 days.",
        "消費速度 1 は、30 日でちょうど使い切る速度です。",
    ),
    "budget.chart": ("Error budgets left", "エラーバジェットの残り"),
    "budget.gone": ("used up", "消費済み"),
    "chart.work": ("Devices, streams, recordings", "端末・配信・録画"),
    "chart.api": ("Business API, P95", "業務 API 応答時間（P95）"),
    "chart.telemetry": ("Telemetry per second", "テレメトリー（毎秒）"),
    "chart.alerts": ("Alerts that fired", "発生中のアラート"),
    "chart.cpu": ("Processors in use", "CPU 使用（コア数）"),
    "chart.memory": ("Memory in use", "メモリー使用量"),
    "chart.disks": ("Used share of disks", "ディスク使用率"),
    "chart.limit": ("limit", "上限"),
    "chart.limit-api": ("limit", "上限"),
    "chart.limit-far": ("The limit, {limit}, is far above.", "上限 {limit} には余裕があります。"),
    "line.day": ("this day", "当日"),
    "line.usual": ("median of earlier days", "過去の中央値"),
    "line.week": ("this week", "今週"),
    "line.week-before": ("week before", "前週"),
    "line.measured": ("measured", "実測"),
    "line.trend": ("trend", "傾向"),
    "line.lower": ("lower end of the interval", "区間下限"),
    "line.upper": ("upper end of the interval", "区間上限"),
    "capacity.title": ("Capacity plan", "容量計画"),
    "capacity.table": ("Forecast", "予測"),
    "capacity.method": (
        "Made from {history} of measurements: a robust straight line (Theil-Sen). In brackets: where {interval} "
        "of the values are "
        "expected. A forecast reaches {times} times as far as the measurements, here {furthest}.",
        "{history}分の実測から頑健な直線（Theil-Sen）で推定しました。括弧内は {interval} 区間です。"
        "予測は実測期間の {times} 倍（{furthest}）までとします。",
    ),
    "capacity.short": (
        "{history} of measurements do not carry a forecast of 90 days; {needed} would.",
        "実測 {history}では 90 日の予測はできません。{needed}分が必要です。",
    ),
    "capacity.limits": (
        "Limits are those of the alerts, and the loads that are promised.",
        "上限はアラートの閾値と保証負荷です。",
    ),
    "capacity.errors": ("Error of the method", "予測の誤差"),
    "capacity.note": (
        "The last fifth of the measurements was forecast from those before it.",
        "実測の最後の 5 分の 1 を、それ以前の実測から予測した結果です。",
    ),
    "capacity.too-short": ("history too short", "履歴不足"),
    "capacity.reached": ("reached", "到達済み"),
    "capacity.not-within": ("not within {time}", "{time}以内に到達なし"),
    "capacity.on": ("{day} (earliest {earliest})", "{day}（最短 {earliest}）"),
    "capacity.earliest-only": ("not expected (earliest {earliest})", "見込みなし（最短 {earliest}）"),
    "maintenance.title": ("Maintenance", "保守"),
    "maintenance.tasks": ("To do", "作業一覧"),
    "maintenance.none": ("Nothing has to be done.", "必要な作業はありません。"),
    "maintenance.certificates": ("Certificates, those that end first", "証明書（期限の近い順）"),
    "maintenance.stored": ("Stored traces and logs", "保存中のトレースとログ"),
    "maintenance.parts": ("Versions and processes", "バージョンとプロセス"),
    "maintenance.parts-note": (
        "Version: as the program says it in its metrics; - where it does not.",
        "バージョンはプログラムがメトリクスで示す値です。示さないものは - とします。",
    ),
}
