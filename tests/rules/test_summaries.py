"""What is recorded of all senders is what panels would compute from a series of each; and chosen devices are theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from components.alerting.escalation import escalated
from components.dashboards.registry import dashboard_named
from components.telemetry.rules import layer_groups
from components.telemetry.summaries import SUMMARIES
from components.telemetry.thresholds import DOCUMENT
from tests.rules.thresholds_promtool import run

GROUPS = (*escalated(layer_groups(DOCUMENT)), *SUMMARIES)
ALL, CHOSEN = ".*", "(dev-11|dev-12)"
DEVICES = range(1, 13)
EVERY_S = 15
Samples = Mapping[str, float]
"""Labels of a series -> its value."""


def device_series(connected: Mapping[int, int]) -> dict[str, str]:
    """Twelve devices: the higher the number, the more charge and the more delay."""
    series = {}
    for number in DEVICES:
        labels = f'layer="device",job="device-agent",instance="dev-{number:02}",device_id="dev-{number:02}"'
        constant = {
            "hw_battery_charge_ratio": 0.04 * number,
            "device_delivery_delay_seconds": 0.1 * number,
            "device_network_latency_seconds": 0.01 * number,
            "device_stream_quality": 1 + 0.25 * number,
            "device_speech_recognition_accuracy_ratio": 0.5 + 0.04 * number,
            "device_connected": connected.get(number, 1),
            "target_info": 1,
        }
        series |= {f"{name}{{{labels}}}": f"{value:g}x60" for name, value in constant.items()}
        series[f'device_state{{{labels},device_state="recording"}}'] = f"{number % 2}x60"
        series[f"device_delivery_frames_total{{{labels}}}"] = f"0+{EVERY_S * number}x60"
    return series


def expression(dashboard: str, title: str, legend: str, device: str = ALL) -> str:
    """A panel's query as it is sent."""
    (panel,) = (panel for panel in dashboard_named(dashboard).panels if panel.title == title)
    (query,) = (query for query in panel.queries if query.legend == legend)
    return query.expr.replace("$device", device).replace("$__rate_interval", "2m")


def answers(expr: str, samples: Samples) -> dict[str, Any]:
    """What promtool is to find ten minutes on."""
    shown = [{"labels": labels, "value": value} for labels, value in samples.items()]
    return {"expr": expr, "eval_time": "10m", "exp_samples": shown}


def series_test(series: Mapping[str, str], *expected: dict[str, Any]) -> dict[str, Any]:
    """One test of promtool's."""
    return {
        "interval": f"{EVERY_S}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": list(expected),
    }


def of_each(first: int, last: int, value: float) -> Samples:
    return {f'{{device_id="dev-{number:02}"}}': value * number for number in range(first, last + 1)}


@pytest.mark.parametrize(
    ("device", "figures"),
    [
        (
            ALL,
            {
                ("Device connected", "connected"): {"{}": 11},
                ("Device connected", "known"): {"{}": 12},
                ("Device state", "{{device_state}}"): {'{device_state="recording"}': 6},
                ("Device delivery delay", "worst"): {"{}": 1.2},
                ("Device delivery delay", "median"): {"{}": 0.65},
                ("Hw battery charge", "worst"): {"{}": 0.04},
                ("Hw battery charge", "median"): {"{}": 0.26},
                ("Device delivery frames, per second", "device-agent"): {"{}": 78},
                ("Weakest devices", "Battery"): of_each(1, 10, 0.04),
                ("Weakest devices", "Network latency"): of_each(1, 10, 0.01),
                ("Senders", "senders"): {"{}": 12},
                ("Device battery low", "limit 20 %"): {"{}": 0.04},
                ("Device delivery delayed", "limit 1 s"): {"{}": 1.2},
                ("Device disconnected", "worst"): {"{}": 0},
            },
        ),
        (
            CHOSEN,
            {
                ("Device connected", "connected"): {"{}": 2},
                ("Device connected", "known"): {"{}": 2},
                ("Device state", "{{device_state}}"): {'{device_state="recording"}': 1},
                ("Device delivery delay", "worst"): {"{}": 1.2},
                ("Device delivery delay", "median"): {"{}": 1.15},
                ("Hw battery charge", "worst"): {"{}": 0.44},
                ("Device delivery frames, per second", "device-agent"): {"{}": 23},
                ("Weakest devices", "Battery"): of_each(11, 12, 0.04),
                ("Weakest devices", "Network latency"): of_each(11, 12, 0.01),
            },
        ),
    ],
    ids=["all devices", "chosen devices"],
)
def test_panels_of_devices(device: str, figures: Mapping[tuple[str, str], Samples], tmp_path: Path) -> None:
    expected = [
        answers(expression("layer-device", title, legend, device), samples)
        for (title, legend), samples in figures.items()
    ]
    run(tmp_path, GROUPS, series_test(device_series({3: 0}), *expected), every="1m")


def test_no_device_is_disconnected_while_all_are_connected(tmp_path: Path) -> None:
    stat = expression("layer-device", "Device disconnected", "worst")
    run(tmp_path, GROUPS, series_test(device_series({}), answers(stat, {"{}": 1})), every="1m")


def test_counters_and_histograms_of_several_processes(tmp_path: Path) -> None:
    series = {}
    for process in (1, 2):
        events = f'layer="business",job="event-processor",instance="e-{process}",work_event_type="scan"'
        series[f"work_event_processed_total{{{events}}}"] = f"0+{EVERY_S}x60"
        for bound, step in {"0.1": 0, "0.25": EVERY_S, "+Inf": EVERY_S}.items():
            labels = f'layer="business",job="work-api",instance="w-{process}",le="{bound}"'
            series[f"http_server_request_duration_seconds_bucket{{{labels}}}"] = f"0+{step}x60"
    run(
        tmp_path,
        SUMMARIES,
        series_test(
            series,
            answers(expression("overview", "Work events", "per minute"), {"{}": 120}),
            answers(
                expression("overview", "Work events by type", "{{work_event_type}}"), {'{work_event_type="scan"}': 2}
            ),
            answers(expression("layer-business", "HTTP server request duration", "P95"), {"{}": 0.2425}),
        ),
        every="1m",
    )
