"""The logs' part of the rows of the layers: what each layer sends besides metrics arrives, too."""

from __future__ import annotations

import json
from typing import Any

from components.search.config import HTTP_PORT, WORKLOAD
from components.search.indices import LOGS
from components.telemetry.layers import LAYERS, Layer, Signal
from ops.checks.grace_period import grace_period_end
from ops.checks.prometheus import layer_check
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.rows import Check, Finding

FOUND_SECONDS = 15.0
"""From writing a log record to its being found."""
WINDOW = "15m"
"""The slowest layers write a log record every few minutes."""


def search_logs(context: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Answer of the search cluster to a search in all logs.

    Raises:
        OpsError: There is no reader of logs, or the cluster does not answer as it should.
    """
    reader = context.platform.log_reader
    if reader is None:
        raise OpsError("the stack has no login for reading logs: deploy a version of the platform with one")
    url = f"{context.tunnels.url(context.kube.ready_pod(WORKLOAD).name, HTTP_PORT)}/{LOGS}-read/_search"
    headers = {"Content-Type": "application/json"}
    with context.web.call("POST", url, auth=reader.pair, data=json.dumps(body).encode(), headers=headers) as response:
        if response.status_code != 200:
            raise OpsError(f"the search cluster answered {response.status_code} to a search in the logs")
        answer: dict[str, Any] = response.json()
    return answer


def layers_with_logs(context: Context, window: str = WINDOW) -> dict[str, int]:
    """Layer -> log records of the last ``window``."""
    body = {
        "size": 0,
        "query": {"range": {"@timestamp": {"gte": f"now-{window}"}}},
        "aggs": {"layers": {"terms": {"field": "layer", "size": 2 * len(LAYERS)}}},
    }
    buckets = search_logs(context, body)["aggregations"]["layers"]["buckets"]
    return {str(bucket["key"]): int(bucket["doc_count"]) for bucket in buckets}


def spans(context: Context, layer: Layer, window: str = "5m") -> float:
    """Spans of a layer in the last minutes, before sampling."""
    return context.thanos.number(f'increase(traces_span_metrics_calls_total{{layer="{layer.name}"}}[{window}])') or 0.0


def signals_check(layer: Layer) -> Check:
    """Check of a layer's metrics, and of its logs and traces as far as it may send them."""

    def check(context: Context) -> Finding:
        finding = layer_check(layer)(context)
        if layer.may_send(Signal.LOGS):
            records = layers_with_logs(context).get(layer.name, 0)
            finding.expect_by(
                grace_period_end(context),
                records > 0,
                f"first log record of layer {layer.name}",
                f"no log record of layer {layer.name} in the last {WINDOW}",
            )
            finding.figures.append(f"{records} log records in {WINDOW}")
        if layer.may_send(Signal.TRACES):
            count = spans(context, layer)
            finding.expect_by(
                grace_period_end(context),
                count > 0,
                f"first span of layer {layer.name}",
                f"no span of layer {layer.name} in the last 5m",
            )
            finding.figures.append(f"{count:.0f} spans in 5m")
        return finding

    return check


CHECKS: dict[str, Check] = {layer.source: signals_check(layer) for layer in LAYERS}
"""In the place of the checks of the metrics alone."""
