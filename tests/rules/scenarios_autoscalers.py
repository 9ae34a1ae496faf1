"""Scenarios of the alert about autoscalers."""

from __future__ import annotations

from typing import Final

from tests.rules.scenario import Scenario

MOST: Final = {"gateway": 3, "grafana": 4}
_GATEWAYS = [f'up{{job="gateway",instance="gateway-{pod}"}}' for pod in range(3)]
_GRAFANAS = {f'up{{job="grafana",instance="grafana-{pod}"}}': "1x90" for pod in range(3)}

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        alert="AutoscalerAtMaximum",
        bad={**_GRAFANAS, _GATEWAYS[0]: "1x90", _GATEWAYS[1]: "1x90", _GATEWAYS[2]: "_x9 1x80"},
        # The third one is there, and does not answer.
        good={**_GRAFANAS, _GATEWAYS[0]: "1x90", _GATEWAYS[1]: "1x90", _GATEWAYS[2]: "_x9 0x80"},
        silent_at="34m15s",
        firing_at="34m45s",
        labels={"job": "gateway"},
    ),
)
