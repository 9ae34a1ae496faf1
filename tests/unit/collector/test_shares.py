"""What each client may send: every layer has its share, and all shares together are what there is."""

from __future__ import annotations

import pytest

from components.collector.config import ITEM_BYTES, agent_clients, gateway_clients
from components.gateway.component import speakers
from components.gateway.config import AGENT
from components.telemetry.layers import LAYERS, Signal

PEAK = {Signal.METRICS: 100_000.0, Signal.TRACES: 10_000.0, Signal.LOGS: 20_000.0}


def test_every_user_of_a_gateway_has_a_share() -> None:
    assert set(gateway_clients(PEAK, gateways=2, agents=AGENT)) == set(speakers())
    assert set(agent_clients(PEAK)) == {layer.user for layer in LAYERS}


@pytest.mark.parametrize("clients", [gateway_clients(PEAK, gateways=2, agents=AGENT), agent_clients(PEAK)])
def test_what_belongs_to_single_clients_leaves_something_for_everybody(clients: dict[str, dict[str, float]]) -> None:
    parts = [client["share"] for client in clients.values()]
    assert sum(parts) == pytest.approx(0.8, abs=0.001)
    assert min(parts) > 0.05, "also the smallest has several calls at once"


@pytest.mark.parametrize("signal", list(Signal))
def test_one_gateway_fewer_carries_the_peak(signal: Signal) -> None:
    for gateways in (1, 2, 4):
        clients = gateway_clients(PEAK, gateways=gateways, agents=AGENT)
        sending = [layer for layer in LAYERS if layer.may_send(signal)]
        one = sum(clients[layer.user]["rates"][signal.value]["items"] for layer in sending)
        assert one * max(1, gateways - 1) == pytest.approx(PEAK[signal], rel=0.001)


@pytest.mark.parametrize("signal", list(Signal))
def test_agents_may_pass_on_what_all_layers_send(signal: Signal) -> None:
    clients = gateway_clients(PEAK, gateways=2, agents=AGENT)
    assert clients[AGENT]["rates"][signal.value]["items"] == PEAK[signal]


def test_who_sends_a_signal_that_it_may_not_send_gets_as_far_as_the_answer() -> None:
    for clients in (gateway_clients(PEAK, gateways=2, agents=AGENT), agent_clients(PEAK)):
        rate = clients["device"]["rates"]["traces"]
        assert rate["items"] == pytest.approx(0.01 * PEAK[Signal.TRACES])
        assert rate["bytes"] == pytest.approx(rate["items"] * ITEM_BYTES[Signal.TRACES])
