"""Fixed texts of timeline and report, in English and Japanese."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from ops.incidents.times import span


class Language(StrEnum):
    """Languages of a report."""

    ENGLISH = "en"
    JAPANESE = "ja"
    BOTH = "both"


class Texts:
    """Fixed texts in one language, or in both with a stroke between them."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, key: str, **values: object) -> str:
        """The words of a key; names in braces are filled in, lengths of time in the language's own way.

        Raises:
            KeyError: There is no such key.
        """
        english, japanese = (
            text.format(**{name: _told(value, language) for name, value in values.items()})
            for text, language in zip(TEXTS[key], (Language.ENGLISH, Language.JAPANESE), strict=True)
        )
        if self.language is Language.ENGLISH or english == japanese:
            return english
        return japanese if self.language is Language.JAPANESE else f"{english} / {japanese}"


_JAPANESE_UNITS = {" min": "分", " s": "秒", " h": "時間", " d": "日"}


def _told(value: object, language: Language) -> object:
    if not isinstance(value, timedelta):
        return value
    text = span(value)
    if language is Language.JAPANESE:
        for english, japanese in _JAPANESE_UNITS.items():
            text = text.replace(english, japanese)
        return text.replace(" ", "")
    return text


TEXTS: Mapping[str, tuple[str, str]] = {
    # The whole
    "report": ("Incident report", "インシデントレポート"),
    "generated": ("Generated", "作成日時"),
    "collected": ("Collected", "収集日時"),
    "looked": ("Time looked at", "対象期間"),
    "cut": (
        "the incident lasted longer: only its first day is here",
        "長時間の障害のため、最初の24時間のみを対象としています",
    ),
    "classification": (
        "Holds telemetry of the classes up to: {name}. Pass it on to those only who may see that.",
        "分類「{name}」までのテレメトリを含みます。閲覧権限のある人にのみ共有してください。",
    ),
    "draft": ("The incident is open: this is its state by now.", "対応中のインシデントです。現時点の状況を示します。"),
    "none": ("none", "なし"),
    "unknown": ("not known", "不明"),
    "not_written": ("not written yet", "未記入"),
    "nothing_seen": ("Nothing was seen.", "該当なし。"),
    "nothing_noted": ("Nobody wrote a note about this.", "記録はまだありません。"),
    "not_collected": ("Not collected: {problem}", "収集できませんでした：{problem}"),
    "as_of": (
        "As of {time}; not readable since: {problem}",
        "{time} 時点の情報です。その後は取得できません：{problem}",
    ),
    # Sections
    "summary": ("Summary", "概要"),
    "impact": ("Impact", "影響範囲"),
    "timeline": ("Timeline", "時系列"),
    "phase.respond": ("Immediate response, within 15 minutes", "即座対応（15分以内）"),
    "phase.diagnose": ("Root cause analysis", "根本原因分析"),
    "phase.recover": ("Recovery", "復旧作業"),
    "phase.follow-up": ("Follow-up", "事後対応"),
    "clock": ("First response", "初期対応"),
    "notifications": ("Notifications", "通知"),
    "acknowledgements": ("Acknowledgements and silences", "確認応答・サイレンス"),
    "notes": ("Notes", "対応記録"),
    "cause": ("Root cause", "根本原因"),
    "metrics": ("Metrics", "メトリクス"),
    "siblings": ("Other alerts of the layer", "同じ層の他のアラート"),
    "traces": ("Failed and slow traces", "エラー・遅延トレース"),
    "logs": ("Log lines with errors", "エラーログ"),
    "changes": ("Changes of the stack", "構成変更"),
    "cluster": ("Kubernetes: events, restarts, rollouts", "Kubernetes：イベント・再起動・ロールアウト"),
    "resolution": ("When it stopped firing", "アラートの解消"),
    "actions": ("Actions", "再発防止策"),
    "gaps": ("What could not be collected", "収集できなかった情報"),
    "queries": ("Metrics that were used", "使用したメトリクス"),
    "labels": ("Labels of the alert", "アラートのラベル"),
    # Names of rows and columns
    "alert": ("Alert", "アラート"),
    "identity": ("Identity", "識別子"),
    "severity": ("Priority", "優先度"),
    "layer": ("Layer", "層"),
    "platform": ("the monitoring platform itself", "監視基盤自体"),
    "status": ("Status", "状態"),
    "open": ("open", "対応中"),
    "closed": ("closed", "完了"),
    "began": ("Began to fire", "発生"),
    "resolved": ("Stopped firing", "解消"),
    "still": ("it still fires, or nothing tells that it stopped", "継続中、または解消を確認できていません"),
    "length": ("{length}", "{length}"),
    "duration": ("Duration", "継続時間"),
    "responded": ("First response", "初期対応"),
    "acknowledged": ("Acknowledged", "確認応答"),
    "opened": ("Opened", "登録"),
    "closed_at": ("Closed", "完了"),
    "runbook": ("Runbook", "手順書"),
    "description": ("Description", "説明"),
    "time": ("Time", "時刻"),
    "since": ("After the alert", "発生から"),
    "what": ("What", "内容"),
    "source": ("Source", "情報源"),
    "who": ("Who", "担当"),
    "until": ("Until", "期限"),
    "comment": ("Comment", "コメント"),
    "receiver": ("Receiver", "通知先"),
    "alerts": ("Alerts", "アラート"),
    "service": ("Service", "サービス"),
    "operation": ("Operation", "処理"),
    "trace": ("Trace", "トレース"),
    "class": ("Class", "分類"),
    "result": ("Result", "結果"),
    "failed": ("failed", "エラー"),
    "slow": ("slow", "遅延"),
    "level": ("Level", "レベル"),
    "text": ("Text", "本文"),
    "revision": ("Update", "更新"),
    "commit": ("Commit", "コミット"),
    "subject": ("Object", "対象"),
    "reason": ("Reason", "理由"),
    "prometheus": ("Prometheus", "Prometheus"),
    "pending": ("pending", "保留"),
    "firing": ("firing", "発火中"),
    "from": ("From", "開始"),
    "to": ("To", "終了"),
    "value": ("Value", "値"),
    "limit": ("Limit", "閾値"),
    "asked": ("PromQL", "PromQL"),
    "series": ("{shown} of {total} series", "{total} 系列中 {shown} 系列"),
    "action": ("Action", "対策"),
    "owner": ("Owner", "担当者"),
    "due": ("Due", "期日"),
    "no_data": ("no data", "データなし"),
    "more": ("{{}} more", "ほか {{}} 系列"),
    # The clock
    "limit_label": ("15 min", "15分"),
    "clock.met": (
        "Met: responded after {elapsed}, {difference} before the limit",
        "達成：{elapsed}で対応開始（期限まで{difference}）",
    ),
    "clock.missed": (
        "Missed by {difference}: responded after {elapsed}",
        "未達：期限を{difference}超過（{elapsed}で対応開始）",
    ),
    "clock.running": ("Running: {difference} left, {elapsed} gone", "計測中：残り{difference}（経過{elapsed}）"),
    "clock.overdue": (
        "Missed by {difference} and counting: nobody has responded for {elapsed}",
        "未達：期限を{difference}超過し、対応はまだ記録されていません（経過{elapsed}）",
    ),
    # Impact
    "impact.lasted": ("It fired for {length}.", "発火時間：{length}"),
    "impact.lasts": ("It has been firing for {length}.", "発火継続時間：{length}"),
    "impact.subject": ("What it is about: {labels}.", "対象：{labels}"),
    "impact.siblings": ("Other alerts of the layer fired: {names}.", "同じ層で発火した他のアラート：{names}"),
    "impact.no_siblings": ("No other alert of the layer fired.", "同じ層の他のアラートは発火していません。"),
    "impact.traces": (
        "Traces found: {failed} failed, {slow} slow ({services}).",
        "トレース：エラー {failed} 件、遅延 {slow} 件（{services}）",
    ),
    "impact.logs": ("Log lines with errors: {count} ({services}).", "エラーログ：{count} 行（{services}）"),
    # Timeline
    "event.alert": ("Alert began to fire", "アラート発生"),
    "event.pending": ("Condition true", "条件成立"),
    "event.fired": ("Fires in Prometheus", "Prometheus で発火"),
    "event.ended": ("Ended in Prometheus", "Prometheus で解消"),
    "event.sibling": ("Other alert fires", "他のアラート発火"),
    "event.sibling_ended": ("Other alert ended", "他のアラート解消"),
    "event.notification": ("Notification sent", "通知送信"),
    "event.notification_resolved": ("Resolved notification sent", "解消通知送信"),
    "event.acknowledged": ("Acknowledged", "確認応答"),
    "event.silenced": ("Silenced", "サイレンス設定"),
    "event.trace": ("Trace failed", "トレースのエラー"),
    "event.slow": ("Trace was slow", "トレースの遅延"),
    "event.log": ("Errors logged", "エラーログ"),
    "event.change": ("Stack changed", "構成変更"),
    "event.cluster": ("Kubernetes", "Kubernetes"),
    "event.restart": ("Container ended", "コンテナ終了"),
    "event.rollout": ("Rollout", "ロールアウト"),
    "event.note": ("Note", "記録"),
    "event.response": ("First response", "初期対応"),
    "event.opened": ("Incident opened", "インシデント登録"),
    "event.closed": ("Incident closed", "インシデント完了"),
    # Sources
    "from.record": ("record", "記録"),
    "from.firing": ("Prometheus", "Prometheus"),
    "from.metrics": ("Metrics", "メトリクス"),
    "from.events": ("alerts-raw", "alerts-raw"),
    "from.notifications": ("alerts-processed", "alerts-processed"),
    "from.silences": ("Alertmanager", "Alertmanager"),
    "from.traces": ("Jaeger", "Jaeger"),
    "from.logs": ("Logs", "ログ"),
    "from.cluster": ("Kubernetes", "Kubernetes"),
    "from.changes": ("Pulumi", "Pulumi"),
}
