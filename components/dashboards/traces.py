"""Traces and objectives: are promises kept, how fast are budgets used, what do traces cost? (requirements J2, O4)"""

from __future__ import annotations

from components.dashboards import layer, limits
from components.dashboards.model import RATE, Dashboard, Limit, Panel, Query, Row, bars, series, stat, table
from components.telemetry.thresholds import BURN_RATES

_TAIL = "otelcol_processor_tail_sampling"


def _burn() -> tuple[Panel, ...]:
    """A panel per speed at which an alert looks."""
    return tuple(
        series(
            f"Burn over {rate.long}",
            f"Multiple of the speed that uses the error budget up exactly at the end. An alert fires while this and "
            f"the burn over {rate.short} are above the limit ({rate.name}).",
            "",
            Query(expr=f"slo:burn:rate{rate.long}", legend="{{slo}}"),
            limits=(Limit(value=rate.factor, label=rate.name),),
            width=6,
        )
        for rate in BURN_RATES
    )


_OBJECTIVES = Row(
    title="Objectives",
    panels=(
        table(
            "Objectives",
            "What is promised, what is left of the error budget, and how fast it is used.",
            {"slo": "Objective", "layer": "Layer"},
            Query(expr="max by (slo, layer) (slo:objective:ratio)", legend="Promised", unit="1"),
            Query(expr="max by (slo, layer) (slo:error_budget_remaining:ratio)", legend="Budget left", unit="1"),
            Query(expr="max by (slo, layer) (slo:burn:rate1h)", legend="Burn, 1 h"),
            Query(expr="max by (slo, layer) (slo:burn:rate1d)", legend="Burn, 1 d"),
            width=12,
        ),
        bars(
            "Error budgets left",
            "At 0 % the objective is missed for this window.",
            "1",
            Query(expr="slo:error_budget_remaining:ratio", legend="{{slo}}"),
            limits=limits.BUDGET,
            width=6,
        ),
        series(
            "Error budgets over time",
            "Share of the error budget that is left.",
            "1",
            Query(expr="slo:error_budget_remaining:ratio", legend="{{slo}}"),
            limits=limits.BUDGET,
            width=6,
        ),
        *_burn(),
    ),
)

_SERVICES = Row(
    title="Services",
    panels=(
        layer.dependency_graph(),
        layer.dependency_table(),
        table(
            "Latency and errors",
            "P50, P95, P99 and the share of failures of every service that sends traces.",
            {"service_name": "Service", "layer": "Layer"},
            *(
                Query(
                    expr=f"max by (service_name, layer) (obs:span_latency:p{percent})", legend=f"P{percent}", unit="s"
                )
                for percent in (50, 95, 99)
            ),
            Query(
                expr="max by (service_name, layer) (obs:span_errors:ratio5m)"
                " or 0 * max by (service_name, layer) (obs:span_latency:p95)",
                legend="Failed",
                unit="1",
            ),
            width=12,
            service="service_name",
        ),
        series(
            "P95 by service",
            "Time in which 19 of 20 requests were answered.",
            "s",
            Query(expr="obs:span_latency:p95", legend="{{service_name}}"),
            width=12,
            service="service_name",
        ),
        layer.traced_latency(),
    ),
)

_SAMPLING = Row(
    title="Sampling",
    panels=(
        stat(
            "Traces kept",
            "Share of all traces that are kept, failed and slow ones among them.",
            "1",
            Query(expr="obs:sampler_kept:ratio1m", legend="kept"),
        ),
        stat(
            "Base rate",
            "Share that is kept of traces that are neither failed nor slow; it follows the load.",
            "1",
            Query(expr="obs:sampler_base:ratio1m", legend="kept"),
        ),
        stat(
            "Samplers behind",
            "How late traces appear because samplers have not read them yet.",
            "s",
            Query(expr="max(obs:sampler_lag:seconds)", legend="behind"),
            limits=limits.platform("SamplerLag"),
        ),
        stat(
            "Traces in memory",
            "Traces that wait for their decision.",
            "{trace}",
            Query(expr=f"sum({_TAIL}_sampling_traces_on_memory)", legend="waiting"),
        ),
        stat(
            "Torn traces",
            "Traces thrown away undecided in the last hour; none is right.",
            "{trace}",
            Query(expr=f"round(sum(increase({_TAIL}_sampling_trace_dropped_too_early_total[1h])))", legend="last hour"),
        ),
        stat(
            "Spans stored",
            "Spans per second that the samplers hand to Jaeger.",
            "{span}/s",
            Query(expr='sum(rate(otelcol_exporter_sent_spans_total{job="sampler"}[5m]))', legend="stored"),
        ),
        series(
            "Decisions by policy",
            "Traces per second that each policy kept.",
            "{trace}/s",
            Query(
                expr=f'sum by (policy) (rate({_TAIL}_count_traces_sampled_total{{sampled="true"}}[{RATE}]))',
                legend="{{policy}}",
            ),
        ),
        series(
            "Sampling over time",
            "Share kept of all traces, and of the ordinary ones.",
            "1",
            Query(expr="obs:sampler_kept:ratio1m", legend="all"),
            Query(expr="obs:sampler_base:ratio1m", legend="ordinary"),
        ),
        series(
            "Spans on their way",
            "Spans per second: taken by the gateway, stored in Jaeger.",
            "{span}/s",
            Query(expr=f'sum(rate(otelcol_receiver_accepted_spans_total{{job="gateway"}}[{RATE}]))', legend="gateway"),
            Query(
                expr=f'sum(rate(otelcol_receiver_accepted_spans_total{{job="jaeger-collector"}}[{RATE}]))',
                legend="Jaeger",
            ),
        ),
    ),
)

_STORE = Row(
    title="Store of traces and logs",
    panels=(
        table(
            "What is stored",
            "Documents and bytes of each family of indices, the age of the oldest index and how long it is kept.",
            {"family": "Family"},
            Query(expr="max by (family) (search_family_documents)", legend="Documents"),
            Query(expr="max by (family) (search_family_bytes)", legend="Size", unit="By"),
            Query(expr="max by (family) (search_family_oldest_age_seconds)", legend="Oldest index", unit="s"),
            Query(expr="max by (family) (search_family_keep_seconds)", legend="Kept for", unit="s"),
            width=12,
        ),
        series(
            "Writes to the search cluster",
            "Mean time in which the cluster took a batch of spans, over five minutes.",
            "s",
            Query(
                expr="sum(rate(jaeger_storage_bulk_index_latency_ok_seconds_sum[5m]))"
                " / sum(rate(jaeger_storage_bulk_index_latency_ok_seconds_count[5m]))",
                legend="mean",
            ),
            width=6,
        ),
        bars(
            "Heap of the search nodes",
            "Used share of each node's heap.",
            "1",
            Query(expr="max by (node) (search_node_heap_used_ratio)", legend="{{node}}"),
            limits=limits.platform("SearchHeapHigh"),
            width=6,
        ),
    ),
)

DASHBOARD = Dashboard(
    name="traces",
    title="Traces and objectives",
    description="Are promises kept, how fast are error budgets used, which service is slow, and what is kept of all "
    "traces?",
    tags=("traces", "slo"),
    rows=(_OBJECTIVES, _SERVICES, _SAMPLING, _STORE),
)
"""For those who look for a cause, and for those who promised something."""
