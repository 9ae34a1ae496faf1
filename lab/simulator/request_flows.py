"""Request flows: when devices send segments, and what goes wrong with them on their way through five services.

A request flow becomes one trace (`lab.simulator.tracing`). The device itself sends no spans, so its edge begins.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Sequence
from random import Random

from components.telemetry.attributes import DATA_CLASSIFICATION
from components.telemetry.services import TRACED_SERVICES
from lab.simulator.devices import Device
from lab.simulator.faults import FaultPlan
from lab.simulator.source import Source
from lab.simulator.steps import InjectedFault, RequestFlow
from lab.simulator.trace_templates import TraceTemplate

_EVERY_S = 10.0
_MOST = 500
_BATCH_EVERY_S = 30.0


class RequestFlows:
    """Makes the request flows, and owns the five services' sources."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed}/journeys")
        self._key = f"{seed}/pseudonyms".encode()
        self.sources = [
            Source(
                service.name,
                f"{service.name}-1",
                layer=service.layer,
                extra={"host.name": f"{service.name}-1", DATA_CLASSIFICATION: service.classification},
            )
            for service in TRACED_SERVICES
        ]
        self.waiting: deque[RequestFlow] = deque(maxlen=_MOST)
        self.batch_due = False
        self._owed: dict[str, float] = {}
        self._since_batch = 0.0

    def step(self, dt: float, now: float, faults: FaultPlan, devices: Sequence[Device]) -> None:
        """Live through ``dt`` seconds: each streaming device uploads a segment every ten."""
        self._since_batch += dt
        self.batch_due = self._since_batch >= _BATCH_EVERY_S
        if self.batch_due:
            self._since_batch = 0.0
        first = True
        for device in devices:
            owed = self._owed.get(device.id, max(0.0, _EVERY_S - dt)) + (dt if device.streaming else 0.0)
            count, self._owed[device.id] = (int(owed // _EVERY_S), owed % _EVERY_S) if device.streaming else (0, owed)
            for _ in range(min(count, 10)):
                self.waiting.append(self._request_flow(device, self._injected_fault(faults, now), told=first))
                first = False

    def pseudonym(self, kind: str, name: str) -> str:
        """Keyed hash in the place of a device's or a worker's id: joins, and says nothing."""
        return hmac.new(self._key, f"{kind}/{name}".encode(), hashlib.sha256).hexdigest()[:16]

    def _injected_fault(self, faults: FaultPlan, now: float) -> InjectedFault:
        draws = [self._random.random() for _ in range(4)]
        failing = draws[0] < (faults.magnitude("trace-errors", now) or 0.0)
        slow = draws[1] < (faults.magnitude("trace-slow", now) or 0.0)
        chosen = [TRACED_SERVICES[int(draw * len(TRACED_SERVICES))].name for draw in draws[2:]]
        return InjectedFault(fails=chosen[0] if failing else "", slow=chosen[1] if slow else "")

    def _request_flow(self, device: Device, injected_fault: InjectedFault, *, told: bool) -> RequestFlow:
        pseudonym = self.pseudonym("device", device.id)
        worker = self.pseudonym("worker", f"of {device.id}")
        template = TraceTemplate(self._random, injected_fault, device, pseudonym, told)
        return RequestFlow(root=template.upload(), baggage={"device.id": pseudonym, "enduser.pseudo.id": worker})
