"""Layers L4 and L5: data management, and analysis and visualisation."""

from __future__ import annotations

from lab.simulator.devices import clamp
from lab.simulator.faults import FaultPlan
from lab.simulator.services import Service
from lab.simulator.source import Operation


class Etl(Service):
    """Loads work records into the analysis store, job by job."""

    name = "etl"
    _JOBS = (("works-hourly", 45.0), ("recordings-index", 90.0), ("speech-transcripts", 240.0))
    _EVERY_S = 300.0

    def step(self, dt: float, now: float, faults: FaultPlan) -> None:
        """Live through ``dt`` seconds; a fault fails the first job at once, and until a run succeeds again."""
        fault = faults.magnitude("etl-failed", now) is not None
        due = self.due("run", self._EVERY_S, dt)
        for position, (job, usual) in enumerate(self._JOBS):
            jitter = self.random.random()
            name = {"etl.job.name": job}
            failed = fault and position == 0
            was_failed = self.source.values.get("etl.job.last_status", {}).get(tuple(name.items())) == 0
            for outcome in ("success", "failure"):
                self.source.add("etl.job.runs", 0, name | {"outcome": outcome})
            if due or failed != was_failed:
                self.source.set("etl.job.last_status", 0 if failed else 1, name)
                self.source.add("etl.job.runs", 1, name | {"outcome": "failure" if failed else "success"})
                self.source.measure("etl.job.duration", usual * (0.8 + 0.4 * jitter), name)
                outcome, severity = ("failed", "ERROR") if failed else ("succeeded", "INFO")
                self.say("etl.job.finished", f"{job} {outcome}", severity)


class ConsistencyCheck(Service):
    """Compares stores with each other."""

    name = "consistency-check"
    _CHECKS = ("works-vs-events", "recordings-vs-metadata")

    def step(self, dt: float, now: float, faults: FaultPlan) -> None:
        """Live through ``dt`` seconds; a fault is found by the first check."""
        magnitude = faults.magnitude("inconsistency", now) or 0.0
        due = self.due("run", 60, dt)
        for position, check in enumerate(self._CHECKS):
            name = {"consistency.check.name": check}
            records = magnitude if position == 0 else 0.0
            self.source.set("consistency.check.inconsistencies", records, name)
            self.source.add("consistency.check.runs", 1 if due else 0, name)
            if due and records:
                self.say("consistency.check.failed", f"{check}: {records:.0f} records disagree", "ERROR")


class ReportGenerator(Service):
    """Writes the daily and weekly reports."""

    name = "report-generator"
    _REPORTS = ("daily", "weekly")
    _EVERY_S = 600.0

    def step(self, dt: float, now: float, faults: FaultPlan) -> None:
        """Live through ``dt`` seconds; a fault keeps the daily report from being written."""
        late = faults.magnitude("report-late", now) or 0.0
        due = self.due("run", self._EVERY_S, dt)
        for report in self._REPORTS:
            name = {"report.name": report}
            delay = late if report == "daily" else 0.0
            self.source.set("report.generation.delay", delay, name)
            self.source.add("report.generated", 1 if due and not delay else 0, name)
            if due:
                self.say("report.missing" if delay else "report.generated", report, "ERROR" if delay else "INFO")


class DashboardUi(Service):
    """The users' screens."""

    name = "dashboard-ui"
    _SCREENS = ("overview", "work-detail", "analysis")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._sessions = self.random.uniform(25, 45)

    def step(self, dt: float, now: float, faults: FaultPlan) -> int:
        """Live through ``dt`` seconds; returns the number of signed-in sessions."""
        self._sessions = clamp(self._sessions + self.random.uniform(-2, 2), 15, 70)
        surge = faults.magnitude("sessions", now)
        sessions = round(surge if surge is not None else self._sessions)
        self.source.set("user.session.active", sessions)
        slow = faults.magnitude("screen-display", now)
        for screen in self._SCREENS:
            for _ in range(max(1, min(round(dt / 2), 50))):
                normal = clamp(self.random.lognormvariate(-0.2, 0.4), 0.2, 4)
                duration = normal if slow is None else slow * (0.9 + normal / 10)
                self.source.measure("screen.display.duration", duration, {"screen.name": screen})
            if self.random.random() < 0.3:
                self.source.operations.append(
                    Operation(
                        name=f"screen {screen}",
                        server=True,
                        duration_s=duration,
                        children=(Operation(name="GET /api/works", duration_s=duration * 0.5),),
                    )
                )
        return sessions


class AnalysisWorker(Service):
    """Runs the analyses; its processors follow the number of users."""

    name = "analysis-worker"

    def step(self, dt: float, now: float, faults: FaultPlan, sessions: int) -> None:
        """Live through ``dt`` seconds with this many signed-in sessions."""
        jitter, memory = self.random.random(), self.random.random()
        busy = faults.magnitude("cpu", now)
        load = busy if busy is not None else clamp(0.2 + 0.003 * sessions + 0.15 * jitter, 0.05, 0.85)
        self.source.set("system.cpu.utilization", load)
        self.source.set("system.memory.utilization", 0.45 + 0.1 * memory)
        self.source.set("analysis.job.queue.length", round(10 * load * load))
        self.source.operations.append(Operation(name="analysis.run", duration_s=0.5 + 2 * load * jitter))
        if busy is not None and self.due("busy-log", 60, dt):
            self.say("analysis.overloaded", f"processors are {busy:.0%} busy", "WARN")
