"""Rules about the samplers and about what the spans show: do traces arrive, and do the services keep their limits?"""

from __future__ import annotations

from components.rules import NOT_STOPPING, Alert, Recording, RuleGroup, Severity, any_of, arriving, grew
from components.sampler import EXPORTER
from components.telemetry.services import (
    DEFAULT_LATENCY_LIMIT_MS,
    ENTRY_KINDS,
    LATENCY_LIMITS_MS,
    services_by_limit,
)

_JOB = 'job="sampler"'
_WRITES = f'{_JOB},exporter="{EXPORTER}"'
_TAIL = "otelcol_processor_tail_sampling"
_GROUP = 'consumergroup="sampler",topic="telemetry-traces"'
_KINDS = "|".join(f"SPAN_KIND_{kind}" for kind in ENTRY_KINDS)
_CALLS = "traces_span_metrics_calls_total"
_SECONDS = "traces_span_metrics_duration_seconds"
_OVERFLOW = 'otel_metric_overflow=""'
_READ = f'otelcol_receiver_accepted_spans_total{{{_JOB},receiver="kafkarecords"}}'
_REFUSED = f"otelcol_exporter_send_failed_spans_total{{{_WRITES},{NOT_STOPPING}}}"
_FAILED = ',status_code="STATUS_CODE_ERROR"'
_BY_SERVICE = "service_name, layer"

ERROR_RATIO = 0.05
"""Share of failed entry spans of a service above which somebody is told."""


def _entries(more: str = "") -> str:
    return f'{{{_JOB},span_kind=~"{_KINDS}"{more}}}'


def _over_limit() -> str:
    """P95 of the entry spans per service, where it is above the service's own limit."""

    def condition(matcher: str, limit_ms: int) -> str:
        return f"obs:span_latency:p95{{{matcher}}} > {limit_ms / 1000:g}"

    own = [condition(f'service_name=~"{"|".join(names)}"', limit) for limit, names in services_by_limit().items()]
    listed = "|".join(sorted(LATENCY_LIMITS_MS))
    return any_of([*own, condition(f'service_name!~"{listed}"', DEFAULT_LATENCY_LIMIT_MS)])


RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="sampler",
        rules=(
            Recording(
                record="obs:sampler_kept:ratio1m",
                expr=f'sum(rate({_TAIL}_global_count_traces_sampled_total{{{_JOB},sampled="true"}}[1m]))'
                f" / sum(rate({_TAIL}_global_count_traces_sampled_total{{{_JOB}}}[1m]))",
            ),
            Recording(
                record="obs:sampler_base:ratio1m",
                expr=f'sum(rate({_TAIL}_count_traces_sampled_total{{{_JOB},policy="base",sampled="true"}}[1m]))'
                f' / sum(rate({_TAIL}_count_traces_sampled_total{{{_JOB},policy="base"}}[1m]))',
            ),
            Recording(
                record="obs:sampler_lag:seconds",
                expr=f"sum by (consumergroup) (kafka_consumergroup_lag{{{_GROUP}}})"
                f" / on () group_left () (sum(rate(kafka_topic_partition_current_offset"
                '{topic="telemetry-traces"}[5m])) > 0)',
            ),
            Alert(
                name="SamplerDown",
                # Where there are no samplers, the alerts on missing pods and on their group tell.
                expr=f"(sum(rate({_READ}[1m])) or 0 * sum(up{{{_JOB}}})) == 0 "
                f"and on () {arriving('telemetry-traces', '1m')}",
                for_="1m",
                severity=Severity.HIGH,
                summary="No sampler reads spans although they reach Kafka",
                description="No new trace appears in Jaeger and the span metrics stand still. Kafka keeps the spans.",
                labels={"job": "sampler"},
                annotations={
                    "summary_ja": "スパンが Kafka に届いていますが、サンプラーが読んでいません",
                    "description_ja": "新しいトレースが表示されず、スパンのメトリクスも止まります。"
                    "スパンは Kafka に残ります。",
                },
            ),
            Alert(
                name="SamplerLag",
                expr="obs:sampler_lag:seconds > 30",
                for_="2m",
                severity=Severity.MEDIUM,
                summary="Samplers are {{ $value | humanizeDuration }} behind",
                description="Traces appear in Jaeger later than 15 s after their end. Nothing is lost.",
                annotations={
                    "summary_ja": "サンプラーが {{ $value | humanizeDuration }} 遅れています",
                    "description_ja": "トレースの表示が遅れます。失われるものはありません。",
                },
            ),
            Alert(
                name="SamplerDropsTraces",
                expr=any_of(
                    grew(f"{_TAIL}_{metric}_total{{{_JOB}}}", by="job, instance")
                    for metric in ("sampling_trace_dropped_too_early", "traces_dropped_too_large")
                ),
                for_="0s",
                severity=Severity.HIGH,
                summary="Sampler {{ $labels.instance }} threw traces away undecided",
                description="Failed and slow traces may be among them: the promise to keep all of these is broken.",
                annotations={
                    "summary_ja": "サンプラー {{ $labels.instance }} が判定前のトレースを破棄しました",
                    "description_ja": "失敗や遅延のトレースが含まれる恐れがあり、全件保持の約束が守られていません。",
                },
            ),
            Alert(
                name="SamplerExportFails",
                expr=any_of(
                    (
                        grew(_REFUSED, by="job, instance"),
                        f"max by (job, instance) (otelcol_exporter_queue_size{{{_WRITES}}}"
                        f" / otelcol_exporter_queue_capacity{{{_WRITES}}}) > 0.8",
                    )
                ),
                for_="1m",
                severity=Severity.HIGH,
                summary="Sampler {{ $labels.instance }} cannot hand traces to Jaeger",
                description="Jaeger refuses spans for good (they are lost), or takes them too slowly (they wait, and "
                "the rest in Kafka).",
                annotations={
                    "summary_ja": "サンプラー {{ $labels.instance }} がトレースを Jaeger に渡せません",
                    "description_ja": "恒久的な拒否 (失われます) か、受信の遅れ (待機し、残りは Kafka) です。",
                },
            ),
        ),
    ),
    RuleGroup(
        name="spans",
        rules=(
            Recording(
                record="obs:span_calls:rate5m",
                expr=f"sum by ({_BY_SERVICE}, span_name, span_kind) (rate({_CALLS}{{{_JOB},{_OVERFLOW}}}[5m]))",
            ),
            Recording(
                record="obs:span_errors:ratio5m",
                expr=f"sum by ({_BY_SERVICE}) (rate({_CALLS}{_entries(_FAILED)}[5m]))"
                f" / sum by ({_BY_SERVICE}) (rate({_CALLS}{_entries()}[5m]))",
            ),
            *(
                Recording(
                    record=f"obs:span_latency:p{percent}",
                    expr=f"histogram_quantile(0.{percent:02d}, "
                    f"sum by ({_BY_SERVICE}, le) (rate({_SECONDS}_bucket{_entries()}[5m])))",
                )
                for percent in (50, 95, 99)
            ),
            Alert(
                name="SpanErrorRateHigh",
                expr=f"obs:span_errors:ratio5m > {ERROR_RATIO:g}",
                for_="2m",
                severity=Severity.HIGH,
                summary="{{ $value | humanizePercentage }} of the calls to {{ $labels.service_name }} fail",
                description="Counted on all spans with which the service answers, before sampling.",
                annotations={
                    "summary_ja": "{{ $labels.service_name }} の呼び出しの {{ $value | humanizePercentage }} が失敗"
                    "しています",
                    "description_ja": "サンプリング前の全スパンで数えた値です。",
                },
            ),
            Alert(
                name="SpanLatencyHigh",
                expr=_over_limit(),
                for_="2m",
                severity=Severity.MEDIUM,
                summary="{{ $labels.service_name }} is slow: P95 is {{ $value | humanizeDuration }}",
                description="More than one in twenty of its answers takes longer than the service's latency limit.",
                annotations={
                    "summary_ja": "{{ $labels.service_name }} が遅延しています (P95: {{ $value | humanizeDuration }})",
                    "description_ja": "応答の 20 件に 1 件以上がこのサービスの上限を超えています。",
                },
            ),
        ),
    ),
)
