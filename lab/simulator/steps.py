"""What a request flow is made of: steps of services, what they wait for, what they set off, and what they log."""

from __future__ import annotations

from dataclasses import dataclass, field

from components.telemetry.services import TracedService
from lab.simulator.source import Event

Value = str | int | float


@dataclass(frozen=True, kw_only=True)
class StepLog:
    """A log record that belongs to a step; ``instance`` writes it, or the step's own service."""

    event: Event
    instance: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One piece of work, to become a span.

    Attributes:
        service: Who does it.
        operation: Name of one of its operations.
        work_s: Own time, before and after what it waits for.
        attributes: Attributes of the span.
        error: Value of ``error.type``; empty when all went well.
        calls: Steps that it waits for, one after the other.
        handed: Step of a consumer that begins `delay_s` after this one, a producer's, has ended.
        delay_s: Time that the message takes.
        logs: Log records.
    """

    service: TracedService
    operation: str
    work_s: float
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str = ""
    calls: tuple[Step, ...] = ()
    handed: Step | None = None
    delay_s: float = 0.0
    logs: tuple[StepLog, ...] = ()

    @property
    def duration_s(self) -> float:
        """From its beginning to its end."""
        return self.work_s + sum(call.duration_s for call in self.calls)

    @property
    def whole_s(self) -> float:
        """From its beginning to the end of everything that it set off."""
        ends, begin = [self.duration_s], self.work_s / 2
        for call in self.calls:
            ends.append(begin + call.whole_s)
            begin += call.duration_s
        if self.handed is not None:
            ends.append(self.duration_s + self.delay_s + self.handed.whole_s)
        return max(ends)


@dataclass(frozen=True, kw_only=True)
class RequestFlow:
    """One trace: its first step, and the baggage that all its services are given."""

    root: Step
    baggage: dict[str, str]


@dataclass(frozen=True)
class InjectedFault:
    """Which service fails or is slow in one request flow; empty: none."""

    fails: str = ""
    slow: str = ""

    def error(self, service: TracedService, kind: str) -> str:
        return kind if self.fails == service.name else ""

    def work(self, service: TracedService, usual_s: float) -> float:
        return usual_s + (1.5 * service.latency_limit_ms / 1000 if self.slow == service.name else 0.0)
