"""Services with the SDKs of docs/ingest.md against the real gate: what they send by default is let in.

With what `ops connect` prints and the page's variables. It fetches and builds them, so it is no part of `make test`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from components.telemetry.gate_catalogue import gate_catalogue
from components.telemetry.layers import Signal
from ops.connect import service
from ops.core.platform import Login, Platform
from tests.config.gate_process import PASSWORDS, Gate, running_gate
from tests.sdks import clients

NUMBER = 48392


def lines(gate: Gate, folder: Path) -> str:
    """What `ops connect` prints where the gate is the platform's, with its files in a folder."""
    login = Login.model_validate({"username": clients.LAYER, "password": PASSWORDS[clients.LAYER]})
    platform = Platform.model_construct(ca_certificate=gate.ca_file.read_text(), otlp_http=gate.endpoint)
    known = service.variables(platform, login, folder / service.CERTIFICATE_FILE, service.Protocol.HTTP)
    service.written(folder, known, platform.ca_certificate)
    return "\n".join(service.lines(known, folder))


@pytest.mark.drill
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("language", clients.LANGUAGES)
def test_what_an_sdk_sends_by_default_is_let_in(language: str, tmp_path: Path) -> None:
    clients.prepare(language)
    with running_gate(tmp_path, gate_catalogue({clients.LAYER: [clients.LAYER]})) as gate:
        sent = clients.run(language, lines(gate, tmp_path / "login"), NUMBER)
        arrived = {signal: b"".join(gate.arrived.bodies[signal]) for signal in Signal}
        refused, dropped = gate.counted("refused_items_total"), gate.counted("dropped_attributes_total")
    # The page's exception, process.owner: of these SDKs, Node's alone sends it.
    assert {dict(labels)["reason"] for labels in dropped} == ({"attribute_unknown"} if language == "node" else set())
    assert refused == {}, (tmp_path / "otelcol.log").read_text()[-3000:]
    assert clients.METRIC.encode() in arrived[Signal.METRICS], sent.output
    assert bytes.fromhex(sent.trace_id) in arrived[Signal.TRACES], sent.output
    assert f"work {NUMBER} failed".encode() in arrived[Signal.LOGS], sent.output
    assert bytes.fromhex(sent.trace_id) in arrived[Signal.LOGS], sent.output
    assert all(f"sdk-{language}-{NUMBER}".encode() in body for body in arrived.values())
