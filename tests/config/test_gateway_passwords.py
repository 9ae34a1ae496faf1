"""Two passwords of a layer at the real gateway, over both protocols: both are taken, the former one is counted (O1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grpc
import pytest

from components.collector.pods import htpasswd
from tests.config.gateway_process import PASSWORDS, GatewayProcess, gateway_data, gateway_process, metrics_request
from tests.config.servers import eventually

FORMER = "otelcol_login_former_password_requests_total"
LAYER, OTHER, OF_BEFORE = "device", "data", "device-password-of-before"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("two-passwords")
    data = gateway_data(folder)
    (folder / "clients").write_text(htpasswd(PASSWORDS, {LAYER: OF_BEFORE}))
    with gateway_process(folder, data) as process:
        yield process


def counted_layers(gateway: GatewayProcess) -> set[str]:
    """Layers of which there is a count, whatever it is."""
    lines = [line for line in gateway.scrape().text.splitlines() if line.startswith(f"{FORMER}{{")]
    return {match[1] for line in lines if (match := re.search(r'[{,]layer="([^"]*)"', line))}


def test_who_has_two_is_counted_from_0_on_so_that_silence_is_told_from_not_knowing(gateway: GatewayProcess) -> None:
    eventually(lambda: counted_layers(gateway) == {LAYER}, 60, "the layer with two passwords is counted, no other one")
    assert gateway.value(FORMER) == 0


def test_the_former_one_is_taken_over_both_protocols_and_counted_once_each(gateway: GatewayProcess) -> None:
    body = metrics_request(LAYER).SerializeToString()
    assert gateway.post("metrics", body, LAYER, PASSWORDS[LAYER]).status_code == 200
    assert gateway.post("metrics", body, LAYER, OF_BEFORE).status_code == 200
    assert gateway.call(metrics_request(LAYER), LAYER, OF_BEFORE) is grpc.StatusCode.OK
    eventually(lambda: gateway.value(FORMER, layer=LAYER) == 2, 60, "both requests are counted")
    assert counted_layers(gateway) == {LAYER}


def test_it_opens_nothing_else(gateway: GatewayProcess) -> None:
    body = metrics_request(OTHER).SerializeToString()
    assert gateway.post("metrics", body, OTHER, OF_BEFORE).status_code == 401
    assert gateway.call(metrics_request(OTHER), OTHER, OF_BEFORE) is grpc.StatusCode.UNAUTHENTICATED
    assert gateway.post("metrics", body, LAYER, OF_BEFORE + "x").status_code == 401
