"""The bench's bookkeeping: only what the gateway acknowledged counts."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

from ops.bench import DEVICES_PER_REQUEST, POINTS_PER_DEVICE, Sender
from ops.context import Context

POINTS = DEVICES_PER_REQUEST * POINTS_PER_DEVICE


class Gateway:
    """Double of the gateway: gives the answers that it is told, then refuses."""

    def __init__(self, *answers: tuple[int, int]) -> None:
        self.answers = list(answers)
        self.devices: set[str] = set()

    def metrics(self, request: Any, layer: str) -> tuple[int, int]:
        for resource in request.resource_metrics:
            values = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert values["layer"] == layer
            self.devices.add(values["device_id"])
        return self.answers.pop(0) if self.answers else (503, 0)


def sender(gateway: Gateway, number: int = 0) -> Sender:
    return Sender(cast(Context, SimpleNamespace(otlp=gateway)), number, "run")


def test_refused_and_partly_rejected_requests_do_not_count() -> None:
    client = sender(Gateway((200, 0), (503, 0), (200, 3), (200, 0)))
    client.run(time.monotonic() + 0.45)
    assert client.acknowledged == 2 * POINTS
    assert client.refused >= 2
    assert client.last == 4, "the last acknowledged value is what Prometheus must show"


def test_it_ends_by_itself() -> None:
    started = time.monotonic()
    sender(Gateway()).run(started + 0.2)
    assert time.monotonic() - started < 20


def test_clients_have_devices_of_their_own() -> None:
    one, two = Gateway((200, 0)), Gateway((200, 0))
    sender(one, 1).run(time.monotonic() + 0.05)
    sender(two, 2).run(time.monotonic() + 0.05)
    assert len(one.devices) == DEVICES_PER_REQUEST
    assert not one.devices & two.devices
