"""The observed system as a whole: steps every device and service in the order in which they depend on each other."""

from __future__ import annotations

from lab.simulator.batch import AnalysisWorker, ConsistencyCheck, DashboardUi, Etl, ReportGenerator
from lab.simulator.catalog_services import catalog_services
from lab.simulator.devices import Device
from lab.simulator.faults import FaultPlan
from lab.simulator.request_flows import RequestFlows
from lab.simulator.services import AdlsTransfer, EventProcessor, Recorder, Storage, StreamServer, WorkApi
from lab.simulator.source import Source


class Simulation:
    """All sources. The same seed and fault plan give the same values, step by step."""

    def __init__(self, *, seed: int, devices: int) -> None:
        self.devices = [Device(index, seed) for index in range(devices)]
        self._stream, self._recorder, self._storage, self._adls = (
            StreamServer(seed),
            Recorder(seed),
            Storage(seed),
            AdlsTransfer(seed),
        )
        self._api, self._events = WorkApi(seed), EventProcessor(seed)
        self._etl, self._check, self._reports = Etl(seed), ConsistencyCheck(seed), ReportGenerator(seed)
        self._ui, self._worker = DashboardUi(seed), AnalysisWorker(seed)
        self._catalog_services = catalog_services()
        self.request_flows = RequestFlows(seed)
        self.now = 0.0

    @property
    def sources(self) -> list[Source]:
        """Every resource, devices first."""
        services = (
            self._stream,
            self._recorder,
            self._storage,
            self._adls,
            self._api,
            self._events,
            self._etl,
            self._check,
            self._reports,
            self._ui,
            self._worker,
        )
        return [
            *(device.source for device in self.devices),
            *(service.source for service in services),
            *(service.source for service in self._catalog_services),
            *self.request_flows.sources,
        ]

    def step(self, dt: float, faults: FaultPlan) -> None:
        """Advance by ``dt`` seconds."""
        self.now += dt
        now = self.now
        for device in self.devices:
            device.step(dt, now, faults)
        live = self._stream.step(dt, now, faults, self.devices)
        stored = self._recorder.step(dt, now, faults, live)
        self._adls.step(dt, now, faults, stored)
        self._storage.step(dt, now, faults, self._adls.backlog)
        self._events.step(dt, now, faults, live)
        sessions = self._ui.step(dt, now, faults)
        self._api.step(dt, now, faults, sessions)
        self._worker.step(dt, now, faults, sessions)
        self._etl.step(dt, now, faults)
        self._check.step(dt, now, faults)
        self._reports.step(dt, now, faults)
        for service in self._catalog_services:
            service.step(dt, now, faults)
        self.request_flows.step(dt, now, faults, self.devices)
