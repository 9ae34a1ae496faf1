"""Finds words by their key; every one is there in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.reports.model import Text

PAGE: Final[dict[str, tuple[str, str]]] = {
    "title.daily": ("Daily report {period}", "日次レポート {period}"),
    "title.weekly": ("Weekly report {period}", "週次レポート {period}"),
    "title.monthly": ("Monthly report {period}", "月次レポート {period}"),
    "kind.daily": ("Daily", "日次"),
    "kind.weekly": ("Weekly", "週次"),
    "kind.monthly": ("Monthly", "月次"),
    "fact.period": ("{platform}: {start} to {end} ({zone})", "{platform}：{start} ～ {end}（{zone}）"),
    "fact.made": ("Made {at}", "作成 {at}"),
    "fact.under-way": ("The period is not over: figures are those until {at}.", "期間の途中です。{at} までの値です。"),
    "fact.no-history": ("No metrics are stored for this period.", "この期間のメトリクスは保存されていません。"),
    "fact.short": (
        "Metrics are stored since {at}: {known} of {all} are known, and nothing else is told of.",
        "メトリクスは {at} 以降のみ保存されています（{all} のうち {known}）。それ以外は記載していません。",
    ),
    "problems.title": ("Not answered", "取得できなかった項目"),
    "problems.note": (
        "These questions got no answer. What depends on them is missing above, which does not mean that all was well.",
        "次の項目は取得できませんでした。関連する値の欠落は、正常だったことを意味しません。",
    ),
    "problem.query": ("{name}: {error}", "{name}：{error}"),
    "problem.warning": ("Answers may be incomplete: {warning}", "応答が不完全な可能性：{warning}"),
    "problem.alerts": ("Alerts: {error}", "アラート：{error}"),
    "problem.records": (
        "Alerts: {count} records are of another version and were left out",
        "アラート：版の異なるレコード {count} 件を除外しました",
    ),
    "page.number": ("Page", "ページ"),
    "table.empty": ("No values in this period.", "この期間の値はありません。"),
    "table.more": ("{count} more are not shown.", "ほか {count} 件は省略しました。"),
    "chart.empty": ("no values in this period", "この期間の値なし"),
    "chart.description": ("{title}: {count} lines, {least} to {most}", "{title}：{count} 本、{least} ～ {most}"),
    "chart.more": ("{count} more", "ほか {count} 件"),
    "index.title": ("Reports", "レポート一覧"),
    "index.period": ("Period", "期間"),
    "index.kind": ("Report", "種類"),
    "index.files": ("Files", "ファイル"),
    "index.made": ("Stored", "保存日時"),
    "index.none": ("No report yet.", "レポートはまだありません。"),
    "index.newer": ("Newer", "新しいレポート"),
    "index.older": ("Older", "古いレポート"),
    "index.page": ("Page {page} of {pages}", "{page} / {pages} ページ"),
    "mail.subject": ("[{platform}] {title}", "[{platform}] {title}"),
    "mail.attached": ("The whole report is attached as PDF.", "レポート全文を PDF で添付しています。"),
    "mail.stored": ("All reports: {link}", "レポート一覧：{link}"),
    "mail.problems": (
        "Questions without an answer: {count}. See the end of the report.",
        "{count} 項目が取得できませんでした。レポート末尾を参照してください。",
    ),
    "head.layer": ("Layer", "レイヤー"),
    "head.part": ("Part", "構成要素"),
    "head.instances": ("Instances", "台数"),
    "head.instances-up": ("Instances up", "個別稼働率"),
    "head.share-up": ("Uptime", "稼働率"),
    "head.down": ("Down", "停止時間"),
    "head.longest": ("Longest", "最長"),
    "head.known": ("Observed", "観測率"),
    "head.objective": ("Objective", "目標"),
    "head.promised": ("Promised", "目標値"),
    "head.achieved": ("Achieved", "実績"),
    "head.budget-period": ("Budget left, period", "残予算（期間）"),
    "head.budget-window": ("Budget left, 30 d", "残予算（30 日）"),
    "head.budget-used": ("Used of 30 d budget", "30 日予算の消費"),
    "head.violated": ("Time in violation", "違反時間"),
    "head.burn": ("Burn rate", "消費速度"),
    "head.figure": ("Figure", "項目"),
    "head.this-day": ("This day", "当日"),
    "head.day-before": ("Day before", "前日"),
    "head.this-week": ("This week", "今週"),
    "head.week-before": ("Week before", "前週"),
    "head.change": ("Change", "増減"),
    "head.least": ("Least", "最小"),
    "head.most": ("Most", "最大"),
    "head.points": ("Metric points", "メトリクス点数"),
    "head.spans": ("Spans", "スパン"),
    "head.logs": ("Log records", "ログ"),
    "head.time": ("Time", "時間帯"),
    "head.value": ("Value", "値"),
    "head.usual": ("Usual", "平常値"),
    "head.deviation": ("Deviation", "偏差"),
    "head.priority": ("Priority", "優先度"),
    "head.count": ("Times", "件数"),
    "head.open": ("Still firing", "継続中"),
    "head.notifications": ("Notifications", "通知数"),
    "head.escalated": ("Escalated", "エスカレーション"),
    "head.median": ("Median time to resolve", "解決時間（中央値）"),
    "head.since": ("Since", "開始"),
    "head.alert": ("Alert", "アラート"),
    "head.what": ("What", "内容"),
    "head.lasted": ("Lasted", "継続時間"),
    "head.subjects": ("Subjects", "対象数"),
    "head.age-end": ("Age at the end", "期末の経過時間"),
    "head.age-most": ("Oldest", "最大の経過時間"),
    "head.group": ("Consumer group", "コンシューマーグループ"),
    "head.lag-end": ("Behind at the end", "期末の遅れ"),
    "head.lag-most": ("Furthest behind", "最大の遅れ"),
    "head.cpu": ("Processors, mean", "CPU（平均）"),
    "head.cpu-most": ("Processors, most", "CPU（最大）"),
    "head.cpu-change": ("Change to a period before", "前期間比"),
    "head.memory": ("Memory, mean", "メモリー（平均）"),
    "head.memory-most": ("Memory, most", "メモリー（最大）"),
    "head.volume": ("Volume", "ボリューム"),
    "head.used": ("Used", "使用率"),
    "head.per-day": ("Per day", "1 日あたり"),
    "head.topic": ("Topic", "トピック"),
    "head.records": ("Records", "レコード数"),
    "head.volume-in": ("Written", "書き込み量"),
    "head.in-per-day": ("Written per day", "1 日の書き込み量"),
    "head.on-disk": ("On disk", "ディスク上"),
    "head.recommendation": ("Recommendation", "推奨事項"),
    "head.metric": ("Metric", "根拠メトリクス"),
    "head.limit": ("Limit", "上限"),
    "head.what-grows": ("What", "対象"),
    "head.now": ("Now", "現在"),
    "head.in-30": ("In 30 days", "30 日後"),
    "head.in-90": ("In 90 days", "90 日後"),
    "head.reached": ("Limit reached", "上限到達"),
    "head.error": ("Mean error", "平均誤差"),
    "head.ahead": ("Forecast over", "予測期間"),
    "head.inside": ("Within the interval", "区間内の割合"),
    "head.task": ("Task", "作業"),
    "head.endpoint": ("Endpoint", "エンドポイント"),
    "head.instance": ("Instance", "インスタンス"),
    "head.ends": ("Ends", "有効期限"),
    "head.left": ("Left", "残り"),
    "head.family": ("Family", "種類"),
    "head.size": ("Size", "サイズ"),
    "head.oldest": ("Oldest", "最古"),
    "head.kept": ("Kept for", "保持期間"),
    "head.version": ("Version", "バージョン"),
    "head.running": ("Oldest process", "最長稼働プロセス"),
    "head.restarts": ("Restarts", "再起動"),
    "place.device": ("Devices", "端末"),
    "place.streaming": ("Streaming", "配信・録画"),
    "place.business": ("Business", "業務"),
    "place.data": ("Data", "データ管理"),
    "place.analytics": ("Analytics", "分析"),
    "place.platform": ("Platform", "監視基盤"),
    "priority.critical": ("Critical", "緊急"),
    "priority.high": ("High", "高"),
    "priority.medium": ("Medium", "中"),
    "priority.low": ("Low", "低"),
}

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

FIGURES: Final[dict[str, tuple[str, str]]] = {
    "kpi.devices": ("Devices connected", "接続中の端末"),
    "kpi.device-latency": ("Network latency, P95", "ネットワーク遅延（P95）"),
    "kpi.device-delay": ("Delivery delay, P95", "配信遅延（P95）"),
    "kpi.device-quality": ("Stream quality (MOS), mean", "映像品質（MOS 平均）"),
    "kpi.device-speech": ("Speech recognition, mean", "音声認識精度（平均）"),
    "kpi.device-battery": ("Battery, mean", "バッテリー残量（平均）"),
    "kpi.streams": ("Live streams", "ライブ配信"),
    "kpi.stream-delay": ("Stream delay, slowest", "ストリーム遅延（最大）"),
    "kpi.stream-throughput": ("Received media", "受信メディア量"),
    "kpi.stream-loss": ("Packet loss, mean", "パケット損失（平均）"),
    "kpi.recordings": ("Recordings in progress", "録画中"),
    "kpi.recording-failures": ("Failed recordings", "録画失敗率"),
    "kpi.storage": ("Object storage used", "オブジェクトストレージ使用率"),
    "kpi.adls-backlog": ("Not yet transferred to ADLS", "ADLS 未転送量"),
    "kpi.api-calls": ("API calls", "API 呼び出し"),
    "kpi.api-p95": ("API response, P95", "API 応答時間（P95）"),
    "kpi.api-errors": ("API server errors", "API サーバーエラー率"),
    "kpi.db-pool": ("Database pool, fullest", "DB プール使用率（最大）"),
    "kpi.work-events": ("Work events", "作業イベント"),
    "kpi.work-event-delay": ("Work event delay", "作業イベントの遅延"),
    "kpi.etl-success": ("ETL runs that succeed", "ETL 成功率"),
    "kpi.etl-p95": ("ETL duration, P95", "ETL 所要時間（P95）"),
    "kpi.inconsistencies": ("Inconsistent records", "不整合レコード"),
    "kpi.report-delay": ("Report generation late by", "レポート生成の遅れ"),
    "kpi.sessions": ("Signed-in sessions", "利用セッション"),
    "kpi.screen-p95": ("Screen display, P95", "画面表示時間（P95）"),
    "kpi.analysis-cpu": ("Analysis processors, busiest", "分析 CPU 使用率（最大）"),
    "kpi.analysis-queue": ("Analysis jobs waiting", "待機中の分析ジョブ"),
    "kpi.points": ("Metric points taken in", "メトリクス受信"),
    "kpi.spans": ("Spans taken in", "スパン受信"),
    "kpi.log-records": ("Log records taken in", "ログ受信"),
    "kpi.consumer-lag": ("Consumer furthest behind", "コンシューマーの最大遅れ"),
    "kpi.query-p95": ("Query time, P95", "クエリ応答時間（P95）"),
    "kpi.kafka-disk": ("Kafka disk, fullest", "Kafka ディスク（最大）"),
    "count.known-devices": ("Devices known, most", "認識された端末（最大）"),
    "count.most-devices": ("Devices connected, most", "接続端末数（最大）"),
    "count.mean-devices": ("Devices connected, mean", "接続端末数（平均）"),
    "count.most-streams": ("Live streams, most", "ライブ配信数（最大）"),
    "count.mean-streams": ("Live streams, mean", "ライブ配信数（平均）"),
    "count.most-recordings": ("Recordings at once, most", "同時録画数（最大）"),
    "count.recording-segments": ("Recording segments", "録画セグメント"),
    "count.recording-lost": ("Recording segments that failed", "失敗した録画セグメント"),
    "count.recorded-bytes": ("Recorded media", "録画データ量"),
    "count.adls-bytes": ("Transferred to ADLS", "ADLS 転送量"),
    "count.work-events": ("Work events", "作業イベント"),
    "count.api-calls": ("API calls", "API 呼び出し"),
    "count.api-failed": ("API calls with a server error", "サーバーエラーの API 呼び出し"),
    "count.etl-runs": ("ETL runs", "ETL 実行"),
    "count.checks": ("Consistency checks", "整合性チェック"),
    "count.most-sessions": ("Sessions at once, most", "同時セッション数（最大）"),
    "count.spans": ("Spans", "スパン"),
    "count.kafka-records": ("Records into Kafka", "Kafka 書き込みレコード"),
    "capacity.kafka-disk": ("Kafka disk, fullest", "Kafka ディスク（最大）"),
    "capacity.prometheus-disk": ("Prometheus disk, fullest", "Prometheus ディスク（最大）"),
    "capacity.search-disk": ("Search disk, fullest", "検索クラスターのディスク（最大）"),
    "capacity.object-storage": ("Object storage", "オブジェクトストレージ"),
    "capacity.points": ("Metric points", "メトリクス点数"),
    "capacity.spans": ("Spans", "スパン"),
    "capacity.series": ("Series in Prometheus", "Prometheus の時系列数"),
    "capacity.devices": ("Devices known", "認識された端末"),
    "capacity.sessions": ("Signed-in sessions", "利用セッション"),
}

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

TEXTS: Final[Mapping[str, tuple[str, str]]] = {**PAGE, **SECTIONS, **FIGURES, **RECOMMENDATIONS}
"""Key -> English, Japanese. ``{name}`` is filled in."""


def translate(key: str, **values: Text | str) -> Text:
    """The words of a key, filled in.

    Raises:
        KeyError: There are no such words, or a value is missing.
    """
    english, japanese = TEXTS[key]
    return Text(en=english, ja=japanese).filled(**values)
