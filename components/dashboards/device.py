"""Layer 1: the wearable devices."""

from __future__ import annotations

from dataclasses import replace

from components.dashboards import layer
from components.dashboards.model import Dashboard, Query, Row, Variable, table
from components.telemetry.layers import DEVICE

_DEVICE = Variable(
    name="device",
    label="Device",
    description="Inventory ids of the devices that are shown",
    metric='device_connected{layer="device"}',
    of="device_id",
)


def _worst() -> Row:
    """The devices that somebody should look at."""

    def lowest(metric: str) -> str:
        return f'min by (device_id) ({metric}{{device_id=~"$device"}})'

    return Row(
        title="Devices that need a look",
        panels=(
            table(
                "Weakest devices",
                "The ten devices with the least battery, with what else is known of them. The quality is a mean "
                "opinion score, 1 to 5.",
                {"device_id": "Device"},
                Query(expr=f"bottomk(10, {lowest('hw_battery_charge_ratio')})", legend="Battery", unit="1"),
                Query(expr=_of_those(lowest("device_delivery_delay_seconds")), legend="Delivery delay", unit="s"),
                Query(expr=_of_those(lowest("device_network_latency_seconds")), legend="Network latency", unit="s"),
                Query(expr=_of_those(lowest("device_stream_quality")), legend="Quality"),
                Query(
                    expr=_of_those(lowest("device_speech_recognition_accuracy_ratio")),
                    legend="Speech recognition",
                    unit="1",
                ),
                Query(expr=_of_those(lowest("device_connected")), legend="Connected"),
                width=24,
                height=9,
            ),
        ),
    )


def _of_those(value: str) -> str:
    return (
        f'{value} and on (device_id) bottomk(10, min by (device_id) (hw_battery_charge_ratio{{device_id=~"$device"}}))'
    )


_BASE = layer.dashboard(
    DEVICE,
    "Devices",
    "Wearable devices: are they connected, charged, and is what they send good enough to work with?",
    variables=(_DEVICE,),
)
DASHBOARD: Dashboard = replace(_BASE, rows=(*_BASE.rows[:2], _worst(), *_BASE.rows[2:]))
"""State, thresholds, the weakest devices, KPIs, dependencies, telemetry."""
