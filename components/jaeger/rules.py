"""Rules about Jaeger: are the kept traces written, and can they be read?"""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity, any_of, grew

_COLLECTOR = 'job="jaeger-collector"'
_QUERY = 'job=~"jaeger-query-.+"'
_OTLP = f'{_COLLECTOR},receiver="otlp"'
_STORE = "job, instance, name"
_REFUSED_ITEMS = f"jaeger_storage_bulk_index_errors_total{{{_COLLECTOR}}}"
_FAILED_BULKS = f"jaeger_storage_bulk_index_latency_err_seconds_count{{{_COLLECTOR}}}"
_READS = "jaeger_storage_requests_total"


RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="jaeger",
        rules=(
            Alert(
                name="JaegerCollectorDown",
                expr=f"(sum(up{{{_COLLECTOR}}}) or vector(0)) == 0",
                for_="1m",
                severity=Severity.HIGH,
                summary="No Jaeger collector answers",
                description="No trace is written. The samplers wait, and Kafka keeps the spans.",
                labels={"job": "jaeger-collector"},
                annotations={
                    "summary_ja": "応答する Jaeger コレクターがありません",
                    "description_ja": "トレースが書き込まれません。サンプラーは待機し、スパンは Kafka に残ります。",
                },
            ),
            Alert(
                name="JaegerCollectorRefusesSpans",
                expr=any_of(
                    f"sum by (job, instance) (rate(otelcol_receiver_{kind}_spans_total{{{_OTLP}}}[2m])) > 0"
                    for kind in ("refused", "failed")
                ),
                for_="1m",
                severity=Severity.HIGH,
                summary="Jaeger collector {{ $labels.instance }} refuses spans",
                description="Its memory is short, mostly because the search cluster takes bulks too slowly. The "
                "samplers try again.",
                annotations={
                    "summary_ja": "Jaeger コレクター {{ $labels.instance }} がスパンを拒否しています",
                    "description_ja": "多くは検索クラスターの遅れによるメモリー不足です。サンプラーが再送します。",
                },
            ),
            Alert(
                name="JaegerWritesFail",
                expr=any_of(grew(counter, by=_STORE) for counter in (_REFUSED_ITEMS, _FAILED_BULKS)),
                for_="0s",
                severity=Severity.HIGH,
                summary="Jaeger collector {{ $labels.instance }} cannot write {{ $labels.name }} spans",
                description="The search cluster refuses documents (these spans are lost), or does not answer (they are "
                "kept and tried again).",
                annotations={
                    "summary_ja": "Jaeger コレクター {{ $labels.instance }} が {{ $labels.name }} のスパンを書き込め"
                    "ません",
                    "description_ja": "文書の拒否 (失われます) か、検索クラスターの無応答 (保持して再試行) です。",
                },
            ),
            Alert(
                name="JaegerQueryDown",
                expr=f"sum by (job) (up{{{_QUERY}}}) == 0",
                for_="1m",
                severity=Severity.MEDIUM,
                summary="No pod of {{ $labels.job }} answers",
                description="Traces of this clearance cannot be read. They are still written.",
                annotations={
                    "summary_ja": "{{ $labels.job }} のポッドが応答しません",
                    "description_ja": "この区分のトレースを閲覧できません。書き込みは続いています。",
                },
            ),
            Alert(
                name="JaegerQueryErrors",
                expr=f'sum by (job) (rate({_READS}{{{_QUERY},result="err"}}[5m]))'
                f" / sum by (job) (rate({_READS}{{{_QUERY}}}[5m])) > 0.1",
                for_="2m",
                severity=Severity.MEDIUM,
                summary="{{ $value | humanizePercentage }} of the searches of {{ $labels.job }} fail",
                description="The search cluster does not answer, or its aliases or the query's permissions are wrong.",
                annotations={
                    "summary_ja": "{{ $labels.job }} の検索の {{ $value | humanizePercentage }} が失敗しています",
                    "description_ja": "検索クラスターの無応答、または別名か権限の誤りです。",
                },
            ),
        ),
    ),
)
