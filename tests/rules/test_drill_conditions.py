"""The conditions that drills send raise their alerts at once, end them at once, and can begin again (real promtool)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from components.telemetry.catalogue import metric
from components.telemetry.naming import prometheus_label
from components.telemetry.rules import layer_groups
from components.telemetry.thresholds import DOCUMENT
from ops.drills.procedures.alerts import FEW
from ops.drills.tools.notifications import CRITICAL, HIGH, OTHER_CRITICAL, Kind, condition
from tests.rules.thresholds_promtool import EVALUATED_S, run

END_S = 600
"""Longer than the longest window after the last condition."""
FIRST_S, SECOND_S = 62, 137
"""When conditions begin: each between two evaluations, the second one over a minute after the end of the first."""
LASTS_S = 12
RESOURCE = {"service.name": "job", "service.instance.id": "instance"}
OTHERS = {
    'recording_attempts_total{layer="streaming",job="recorder",instance="recorder-1"}': 25,
    'recording_failures_total{layer="streaming",job="recorder",instance="recorder-1",error_type="timeout"}': 0,
}
"""A recorder that stores whatever it attempts: series, and by how much it grows with each export."""
EXPORT_S = 10


def samples(request: ExportMetricsServiceRequest) -> Iterator[tuple[str, float]]:
    """Series of a request, as Prometheus names them, and their values."""
    for resource in request.resource_metrics:
        own = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
        for one in resource.scope_metrics[0].metrics:
            for point in one.gauge.data_points or one.sum.data_points:
                more = {attribute.key: attribute.value.string_value for attribute in point.attributes}
                named = {RESOURCE.get(key, prometheus_label(key)): value for key, value in {**own, **more}.items()}
                labels = ",".join(f'{label}="{value}"' for label, value in named.items())
                yield f"{metric(one.name).prometheus}{{{labels}}}", point.as_double


def sent(kind: Kind) -> dict[str, str]:
    """Series -> a value for each second, of two conditions as an `Injector` sends them, beside those of others."""
    values: dict[str, list[str]] = {}
    for name, began in (("drill-1x", FIRST_S), ("drill-2x", SECOND_S)):
        moments = {began: 0.0} if kind.total else {}
        moments |= dict.fromkeys(range(began + 1, began + LASTS_S, 2), kind.bad)
        moments |= dict.fromkeys(range(began + LASTS_S, began + LASTS_S + 2), kind.good)
        for moment, value in moments.items():
            for series, shown in samples(condition(kind, name, value)):
                values.setdefault(series, ["_"] * END_S)[moment] = f"{shown:g}"
    background = {
        series: " ".join(f"{grows * number} _x{EXPORT_S - 1}" for number in range(END_S // EXPORT_S))
        for series, grows in OTHERS.items()
    }
    return {**background, **{series: " ".join(one) for series, one in values.items()}}


@pytest.mark.parametrize("kind", [CRITICAL, OTHER_CRITICAL, HIGH], ids=lambda kind: kind.alert)
def test_a_condition_fires_at_the_next_evaluation_ends_so_and_fires_anew(kind: Kind, tmp_path: Path) -> None:
    alert: list[dict[str, Any]] = [{"labels": f'{{alertname="{kind.alert}",layer="{kind.layer}"}}', "value": 1}]
    firing = [range(began + 3, began + LASTS_S, EVALUATED_S) for began in (FIRST_S, SECOND_S)]
    expected = [
        {
            "expr": 'group by (alertname, layer) (ALERTS{alertstate="firing"})',
            "eval_time": f"{moment}s",
            "exp_samples": alert if any(moment in moments for moments in firing) else [],
        }
        for moment in range(0, END_S, EVALUATED_S)
    ]
    test = {
        "interval": "1s",
        "input_series": [{"series": series, "values": values} for series, values in sent(kind).items()],
        "promql_expr_test": expected,
    }
    run(tmp_path, layer_groups(DOCUMENT), test, every=f"{EVALUATED_S}s")


def test_a_drill_waits_until_what_the_end_of_a_condition_counted_is_forgotten(tmp_path: Path) -> None:
    over = FIRST_S + LASTS_S
    expected = [
        {
            "expr": f"count({FEW})",
            "eval_time": f"{moment}s",
            "exp_samples": [{"labels": "{}", "value": 1}] if few else [],
        }
        for moment, few in ((FIRST_S - 1, True), (over + 1, False), (over + 55, False), (SECOND_S - 1, True))
    ]
    test = {
        "interval": "1s",
        "input_series": [{"series": series, "values": values} for series, values in sent(OTHER_CRITICAL).items()],
        "promql_expr_test": expected,
    }
    run(tmp_path, layer_groups(DOCUMENT), test, every=f"{EVALUATED_S}s")
