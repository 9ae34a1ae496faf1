"""Rules about the service graph: does the dependency map go on growing?"""

from __future__ import annotations

from components.rules import Alert, RuleGroup, Severity, any_of, arriving

_JOB = 'job="service-graph"'

RULES: tuple[RuleGroup, ...] = (
    RuleGroup(
        name="service-graph",
        rules=(
            Alert(
                name="ServiceGraphStalled",
                expr=any_of(
                    (
                        f"(time() - max by (job) (service_graph_last_document_timestamp_seconds{{{_JOB}}})) > 300",
                        f"sum by (job) (rate(service_graph_spans_total{{{_JOB}}}[5m])) == 0"
                        f" and on () {arriving('telemetry-traces', '5m')}",
                    )
                ),
                for_="1m",
                severity=Severity.MEDIUM,
                summary="The dependency map stands still",
                description="The service graph cannot read spans, or cannot write to the search cluster. Jaeger shows "
                "an old map; what is missing is added once it goes on.",
                annotations={
                    "summary_ja": "依存関係マップの更新が止まっています",
                    "description_ja": "スパンを読めないか、検索クラスターに書けません。再開後に不足分が追加されます。",
                },
            ),
        ),
    ),
)
