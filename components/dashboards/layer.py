"""The dashboards of the layers: besides KPIs, dependencies, performance and bottlenecks, alerts (G3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from components.dashboards import kpis, limits
from components.dashboards.model import (
    RATE,
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
    Variable,
    bars,
    series,
    stat,
    table,
)
from components.telemetry import catalogue, summaries
from components.telemetry.layers import ANALYTICS, BUSINESS, DATA, DEVICE, STREAMING, Layer, Signal
from components.telemetry.services import TRACED_SERVICES

_CALLS = "traces_service_graph_request_total"
_FAILED = "traces_service_graph_request_failed_total"
_SERVED = "traces_service_graph_request_server_seconds_bucket"
_SPANS = "traces_span_metrics_duration_seconds_bucket"
_ENTRY = 'span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"'


def dashboard(layer: Layer, title: str, description: str, *, variables: tuple[Variable, ...] = ()) -> Dashboard:
    """The dashboard of one layer."""
    return Dashboard(
        name=f"layer-{layer.name}",
        title=title,
        description=description,
        tags=("layer", layer.name),
        variables=variables,
        rows=tuple(_rows(layer)),
    )


def _rows(layer: Layer) -> Iterator[Row]:
    yield _state(layer)
    yield kpis.threshold_stats(layer)
    yield from kpis.kpi_rows(layer)
    yield _dependencies(layer)
    if layer.may_send(Signal.TRACES):
        yield _performance(layer)
    yield _path(layer)


def _state(layer: Layer) -> Row:
    own = f'layer="{layer.name}"'
    return Row(
        title="State",
        panels=(
            stat(
                "Most urgent alert",
                "Priority of the most urgent alert of this layer that fires; OK when none does.",
                "",
                Query(expr=f"max({limits.urgency(own, 'layer')}) or vector(0)", legend="now"),
                states=limits.URGENCY,
                width=6,
            ),
            stat(
                "Last heard from",
                "Age of the newest sample of this layer. Above the limit, the dashboard shows the past.",
                "s",
                Query(expr=f"obs:layer_age:seconds{{{own}}}", legend="age"),
                limits=limits.platform("TelemetryStale"),
                width=6,
            ),
            stat(
                "Senders",
                "Processes and devices that sent metrics in the last minutes.",
                "{sender}",
                Query(expr=f"sum({summaries.SENDERS}{{{own}}})", legend="senders"),
                width=6,
            ),
            stat(
                "Error budget left",
                "Of the layer's objectives the one with the least budget left; at 0 % the objective is missed. "
                "A layer without an objective shows that of the telemetry path.",
                "1",
                Query(
                    expr=f"min(slo:error_budget_remaining:ratio{{{own}}})"
                    ' or min(slo:error_budget_remaining:ratio{slo="telemetry-path"})',
                    legend="left",
                ),
                limits=limits.BUDGET,
                width=6,
            ),
        ),
    )


def dependency_graph(services: str = ".*", about: str = "") -> Panel:
    """Who calls whom, as a graph.

    Args:
        services: Regular expression; calls are shown that begin or end at one of these.
        about: Added to the description.
    """
    return Panel(
        title="Who calls whom",
        description="Calls per second between services over five minutes, counted from all spans, not only from the "
        f"traces that are kept.{about}",
        kind=Kind.GRAPH,
        unit="{call}/s",
        queries=(
            Query(expr=_edges(f"sum by (client, server) (rate({_CALLS}{{}}[5m]))", services), legend="calls"),
            Query(
                expr="sum by (service_name) (label_replace("
                + _edges(f"sum by (client, server) (rate({_CALLS}{{}}[5m]))", services)
                + ', "service_name", "$1", "server", "(.*)") or label_replace('
                + _edges(f"sum by (client, server) (rate({_CALLS}{{}}[5m]))", services)
                + ' * 0, "service_name", "$1", "client", "(.*)"))',
                legend="served",
            ),
        ),
        width=14,
        height=10,
        service="service_name",
    )


def dependency_table(services: str = ".*") -> Panel:
    """The same as numbers."""
    return table(
        "Calls between services",
        "Calls per second, share of failed ones and P95 as the called service measures it, over five minutes.",
        {"client": "Caller", "server": "Called"},
        Query(
            expr=_edges(f"sum by (client, server) (rate({_CALLS}{{}}[5m]))", services), legend="Calls", unit="{call}/s"
        ),
        Query(
            expr=_edges(
                f"sum by (client, server) (rate({_FAILED}{{}}[5m])) / sum by (client, server) (rate({_CALLS}{{}}[5m]))",
                services,
            ),
            legend="Failed",
            unit="1",
        ),
        Query(
            expr=_edges(f"histogram_quantile(0.95, sum by (client, server, le) (rate({_SERVED}{{}}[5m])))", services),
            legend="P95",
            unit="s",
        ),
        width=10,
        height=10,
        service="server",
    )


def _edges(expr: str, services: str) -> str:
    """Both ends may be the one that is asked for."""
    if services == ".*":
        return f"({expr.replace('{}', '')})"
    ends = (expr.replace("{}", f'{{{end}=~"{services}"}}') for end in ("client", "server"))
    return f"({' or '.join(f'({end})' for end in ends)})"


def traced_latency(selector: str = "") -> Panel:
    """P95 of the raw histogram of spans, with single requests that lead to their traces.

    Args:
        selector: Which spans, as PromQL matchers.
    """
    return series(
        "Latency with traces",
        "P95 by service, from the histogram itself. Each point is one request: it leads to its trace, if that was "
        "kept; slow and failed ones always are.",
        "s",
        Query(
            expr=f"histogram_quantile(0.95, sum by (service_name, le) (rate({_SPANS}{{{selector}}}[{RATE}])))",
            legend="{{service_name}}",
        ),
        service="service_name",
        exemplars=True,
        width=24,
    )


def _dependencies(layer: Layer) -> Row:
    own = "|".join(service.name for service in TRACED_SERVICES if service.layer is layer)
    about = "" if own else f" Layer {layer.name} may not send traces itself: this is the map of the whole system."
    return Row(
        title="Service dependencies", panels=(dependency_graph(own or ".*", about), dependency_table(own or ".*"))
    )


def _performance(layer: Layer) -> Row:
    own = f'layer="{layer.name}"'
    seconds, calls = "traces_span_metrics_duration_seconds", "traces_span_metrics_calls_total"
    return Row(
        title="Performance and bottlenecks",
        panels=(
            series(
                "P95 by service",
                "Time in which 19 of 20 requests were answered, from all spans with which services answer.",
                "s",
                Query(expr=f"obs:span_latency:p95{{{own}}}", legend="{{service_name}}"),
                service="service_name",
            ),
            series(
                "P50, P95 and P99 of the slowest service",
                "A P99 far above P50 is a bottleneck that some requests meet; all three high is a slow service.",
                "s",
                *(
                    Query(expr=f"max(obs:span_latency:p{percent}{{{own}}})", legend=f"P{percent}")
                    for percent in (50, 95, 99)
                ),
            ),
            series(
                "Requests by service",
                "Requests per second that the services answer.",
                "{request}/s",
                Query(
                    expr=f"sum by (service_name) (obs:span_calls:rate5m{{{own},{_ENTRY}}})", legend="{{service_name}}"
                ),
                service="service_name",
                stacked=True,
            ),
            series(
                "Failed requests by service",
                "Share of the answered requests that ended with an error.",
                "1",
                Query(
                    expr=f"obs:span_errors:ratio5m{{{own}}} or 0 * obs:span_latency:p95{{{own}}}",
                    legend="{{service_name}}",
                ),
                limits=limits.platform("SpanErrorRateHigh"),
                service="service_name",
            ),
            bars(
                "Where the time goes",
                "Seconds spent per second in each operation: what to make faster first. Spans contain each other, so "
                "the bars do not add up.",
                "s",
                Query(
                    expr=f"topk(10, sum by (service_name, span_name) (rate({seconds}_sum{{{own}}}[5m])))",
                    legend="{{service_name}}: {{span_name}}",
                ),
                service="service_name",
                top=10,
            ),
            table(
                "Slowest operations",
                "P95 of each operation over five minutes, slowest first, with its share of failures.",
                {"service_name": "Service", "span_name": "Operation"},
                Query(
                    expr="histogram_quantile(0.95, sum by (service_name, span_name, le) "
                    f"(rate({seconds}_bucket{{{own}}}[5m])))",
                    legend="P95",
                    unit="s",
                ),
                Query(
                    expr=f"sum by (service_name, span_name) (rate({calls}{{{own}}}[5m]))",
                    legend="Calls",
                    unit="{call}/s",
                ),
                Query(
                    expr=f"(sum by (service_name, span_name) (rate({calls}"
                    f'{{{own},status_code="STATUS_CODE_ERROR"}}[5m]))'
                    f" or 0 * sum by (service_name, span_name) (rate({calls}{{{own}}}[5m])))"
                    f" / sum by (service_name, span_name) (rate({calls}{{{own}}}[5m]))",
                    legend="Failed",
                    unit="1",
                ),
                service="service_name",
                top=12,
            ),
            traced_latency(own),
        ),
    )


def _path(layer: Layer) -> Row:
    """What the layer sends, and its alerts."""
    return Row(
        title="Telemetry and alerts",
        panels=(
            series(
                "Telemetry from this layer",
                "Points, spans and log records per second that the gateway took from this layer.",
                "{item}/s",
                Query(
                    expr='sum by (signal) (rate(otelcol_gate_accepted_items_total{job="gateway",'
                    f'layer="{layer.name}"}}[{RATE}]))',
                    legend="{{signal}}",
                ),
                width=12,
            ),
            series(
                "Refused from this layer",
                "Points, spans and log records per second that did not pass the gateway, by reason.",
                "{item}/s",
                Query(
                    expr='sum by (signal, reason) (rate(otelcol_gate_refused_items_total{job="gateway",'
                    f'layer="{layer.name}"}}[{RATE}])) or on (signal) 0 * sum by (signal) '
                    f'(rate(otelcol_gate_accepted_items_total{{job="gateway",layer="{layer.name}"}}[{RATE}]))',
                    legend="{{signal}}: {{reason}}",
                ),
                width=12,
            ),
            series(
                "Budget of time series",
                "Time series, and names of spans, of this layer, as a share of what the catalogue plans for it.",
                "1",
                Query(
                    expr=f'max by (signal) (obs:gateway_budget:ratio{{layer="{layer.name}"}})',
                    legend="{{signal}}",
                ),
                limits=limits.platform("GateBudgetNearlyUsed"),
                width=12,
            ),
            series(
                "Use of its share",
                "Points, spans and log records of this layer, as a part of what gateways and agents take of it; the "
                "door that is used most.",
                "1",
                Query(
                    expr=f'max by (signal) (obs:layer_share:ratio{{layer="{layer.name}"}})',
                    legend="{{signal}}",
                ),
                width=12,
            ),
            series(
                "Told to come again",
                "Requests of this layer per second that were beyond its share.",
                "{request}/s",
                Query(
                    expr="sum by (signal, reason) (rate(otelcol_login_throttled_requests_total{"
                    f'job=~"gateway|otel-agent",layer="{layer.name}"}}[{RATE}])) or on (signal) 0 * sum by (signal) '
                    f'(rate(otelcol_gate_accepted_items_total{{job="gateway",layer="{layer.name}"}}[{RATE}]))',
                    legend="{{signal}}: {{reason}}",
                ),
                width=12,
            ),
            series(
                "Alerts that fire",
                "How many alerts of this layer fire, by priority. Escalations are not counted twice.",
                "{alert}",
                Query(
                    expr=limits.every_severity(
                        f'count by (severity) (ALERTS{{alertstate="firing",escalation="",layer="{layer.name}"}})'
                    ),
                    legend="{{severity}}",
                ),
                width=12,
                stacked=True,
            ),
        ),
    )


_DEVICE = Variable(
    name="device",
    label="Device",
    description="Inventory ids of the devices that are shown",
    metric='device_connected{layer="device"}',
    of="device_id",
)


def _weakest_devices() -> Row:
    """The devices that somebody should look at."""
    weakest = f"bottomk({summaries.WEAKEST}, {_of_each(summaries.CHARGE)})"

    def column(name: str, legend: str, unit: str = "") -> Query:
        values = weakest if name == summaries.CHARGE else f"({_of_each(name)}) and on (device_id) {weakest}"
        return Query(expr=values, legend=legend, unit=unit)

    return Row(
        title="Devices that need a look",
        panels=(
            table(
                "Weakest devices",
                "The ten devices with the least battery, with what else is known of them. The quality is a mean "
                "opinion score, 1 to 5.",
                {"device_id": "Device"},
                column(summaries.CHARGE, "Battery", "1"),
                column("device.delivery.delay", "Delivery delay", "s"),
                column("device.network.latency", "Network latency", "s"),
                column("device.stream.quality", "Quality"),
                column("device.speech_recognition.accuracy", "Speech recognition", "1"),
                column("device.connected", "Connected"),
                width=24,
                height=9,
            ),
        ),
    )


def _of_each(name: str) -> str:
    """Of each chosen device, or of those that are recorded."""
    metric = catalogue.metric(name)
    sent, known = summaries.selector(metric, more=kpis.CHOSEN), summaries.recorded(metric, summaries.LOWEST, kpis.ANY)
    return f"min by (device_id) ({sent}) or min by (device_id) ({known})"


_DEVICES = dashboard(
    DEVICE,
    "Devices",
    "Wearable devices: are they connected, charged, and is what they send good enough to work with?",
    variables=(_DEVICE,),
)

DASHBOARDS: tuple[Dashboard, ...] = (
    replace(_DEVICES, rows=(*_DEVICES.rows[:2], _weakest_devices(), *_DEVICES.rows[2:])),
    dashboard(
        STREAMING,
        "Streaming and recording",
        "Live streams, recordings, the object storage and the transfer to ADLS: does everybody see now, "
        "and is it kept?",
    ),
    dashboard(
        BUSINESS,
        "Business services",
        "The work API, work events and the database: are requests answered in time, and are events processed?",
    ),
    dashboard(
        DATA,
        "Data management",
        "ETL jobs, consistency checks and reports: did the last runs succeed, do the data agree, are reports there?",
    ),
    dashboard(
        ANALYTICS,
        "Analysis and screens",
        "Users, screens and analyses: how many are there, do they wait, and is there processor time left?",
    ),
)
"""In the order of the layers: state, thresholds, KPIs, dependencies, performance, telemetry; the weakest devices."""
