"""How much of a signal the platform takes, and what that costs.

An open loop in steps until latency or lag breaks, then a longer window. The load goes the way of every client: OTLP
over HTTP, TLS, passwords, with the attributes that the simulator's clients send. It shares the machine with the
platform where there is only one. A rate is *sustained* when in its window the gateways acknowledged what was due,
quickly, and it arrived at every end of the path as fast as it was sent.

A *burst* asks another question: what is accepted at a rate, whatever is behind, and how long after it all of it has
arrived.

What the platform cannot take is a figure, not an error: a load that does not arrive in time ends the measurement.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from components.telemetry.layers import Signal
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.platform import Platform
from ops.loadtest import bench_load
from ops.loadtest.bench_load import Load, LoadResult, Target, devices, run
from ops.loadtest.bench_paths import Mark, backlogs, path_of
from ops.loadtest.bench_requests import batch

SLOW_S = 5.0
"""P95 from when a request was due to its answer, above which a rate is too high: half of what an SDK waits."""
SHARE = 0.98
"""Of what was due, acknowledged at least."""
LAG_S, LAG_SHARE = 1.5, 0.05
"""Seconds of load that may still be on their way when it ends; or this share of the window, if that is longer."""
FIRST_RATE = {Signal.METRICS: 2000.0, Signal.TRACES: 4000.0, Signal.LOGS: 1000.0}
_LEAST_RATE = 20.0
_CLOSE_ENOUGH = 1.3
"""Between a rate that held and one that did not, a ratio that needs no further step."""
_BACK_OFF = 0.75
_POLL_S = 1.0
BACKLOG_RECORDS = 300
"""For one consumer group; more of them are the rest of another load, which would be measured with this one."""
REST_S = 120.0
"""Longest wait until they have been read."""
_LAG_SEEN_S = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What is measured, and how long it may take.

    Attributes:
        signal: Whose path.
        size: Items of one request.
        clients: Connections.
        in_flight: Requests of one client at the same time.
        rate: Items per second of the first step; 0: `FIRST_RATE`. With ``steps`` 0 the rate of the window.
        steps: Most steps before the window.
        step_s: Length of a step.
        window_s: Length of the window.
        idle_s: How long the idle platform is watched.
        catch_up_s: How long what was sent may take to arrive.
        limit_s: How long everything may take.
        burst: Whether only what is accepted is judged: one window at ``rate``, whatever arrives behind it.
    """

    signal: Signal
    size: int = 1000
    clients: int = 32
    in_flight: int = 1
    rate: float = 0.0
    steps: int = 8
    step_s: float = 15.0
    window_s: float = 60.0
    idle_s: float = 30.0
    catch_up_s: float = 45.0
    limit_s: float = 345.0
    burst: bool = False

    def load(self, rate: float, seconds: float) -> Load:
        """The load of a step or the window."""
        return Load(rate=rate, seconds=seconds, clients=self.clients, in_flight=self.in_flight)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one rate came to.

    Attributes:
        rate: Items per second that were due.
        seconds: For how long.
        mark: From when arrivals were counted.
        result: What became of the requests.
        missing: Items acknowledged and not yet arrived when the wait ended, by end of the path; empty: none.
        lag_s: Seconds of load that were on their way when the load ended, at the slowest end.
        caught_up_s: Seconds from the load's end until everything had arrived; None: not in time.
        waited_s: How long was waited for that.
        why: Why the rate was too high; empty: it held.
    """

    rate: float
    seconds: float
    mark: Mark
    result: LoadResult
    missing: Mapping[str, int]
    lag_s: float
    caught_up_s: float | None
    waited_s: float
    why: str

    @property
    def held(self) -> bool:
        """Whether the rate was sustained."""
        return not self.why

    @property
    def per_second(self) -> float:
        """Items acknowledged per second of the load; never more than were due, however the requests fall."""
        return min(self.rate, self.result.acknowledged / max(self.seconds, self.result.seconds))

    def figures(self) -> dict[str, Any]:
        """What a table tells of it."""
        late = "" if self.caught_up_s is not None else self.not_caught_up
        return {
            "rate": round(self.rate),
            "acknowledged/s": round(self.per_second),
            "latency p95 ms": round(self.result.latency_s("p95") * 1000, 1) if self.result.acknowledged else None,
            "lag s": round(self.lag_s, 1),
            "caught up after s": None if self.caught_up_s is None else round(self.caught_up_s, 1),
            "held": self.held,
            **({"why": self.why} if self.why else {}),
            **({"missing": late} if late else {}),
        }

    @property
    def not_caught_up(self) -> str:
        """How much had not arrived after how long."""
        missing = ", ".join(f"{count:,} at {end}" for end, count in self.missing.items())
        return f"not caught up after {self.waited_s:.0f} s, missing: {missing}"


class Bench:
    """One measurement; `measure` runs it, ``steps`` are those that it has finished."""

    def __init__(self, context: Context, settings: BenchSettings, say: Say) -> None:
        self._context, self._settings = context, settings
        self._batch = batch(settings.signal, settings.size)
        self._path = path_of(context, self._batch)
        self._target = target_of(context.platform)
        self._started = time.monotonic()
        self._say = say
        self.steps: list[Outcome] = []

    def measure(self) -> dict[str, Any]:
        """Idle platform, steps, window.

        Returns:
            Figures; see `docs/measured.md` for what they mean.

        Raises:
            OpsError: The platform or the generator cannot be reached, or an earlier load is not read.
        """
        settings, item = self._settings, self._path.item
        idle = self.idle()
        steps = self._steps()
        held = [step for step in steps if step.held]
        if settings.steps:
            start = max((step.rate for step in held), default=0.0)
        else:
            start = settings.rate or FIRST_RATE[settings.signal]
        kind = "accepted" if settings.burst else "sustained"
        figures: dict[str, Any] = {f"{kind} {item}/s": 0, "window s": 0.0}
        window = None
        if start and (not steps or steps[-1].caught_up_s is not None):
            window = self._window(start, idle, figures)
        if window is not None and window.held:
            figures[f"{kind} {item}/s"] = round(window.per_second)
            figures["window s"] = round(settings.window_s, 1)
        elif held:
            best = max(held, key=lambda step: step.rate)
            figures[f"sustained {item}/s"] = round(best.per_second)
            figures["window s"] = round(settings.step_s, 1)
        last = window or (steps[-1] if steps else None)
        figures["missing"] = sum(last.missing.values()) if last and last.caught_up_s is None else 0
        if last is not None and last.caught_up_s is None:
            figures["not caught up"] = last.not_caught_up
        figures |= {
            "items per request": {request.user: request.items for request in self._batch.requests},
            "devices": devices(self._batch, settings.load(1, 1)) or None,
            "idle cores": round(sum(idle.values()), 2),
            "steps": [step.figures() for step in steps],
        }
        return {name: value for name, value in figures.items() if value is not None}

    def idle(self) -> dict[str, float]:
        """Cores by workload while nothing but the platform's own clients send.

        Raises:
            OpsError: What an earlier load left does not become less.
        """
        deadline = time.monotonic() + REST_S
        while True:
            self._rest(deadline)
            self._tell(f"idle platform for {self._settings.idle_s:.0f} s")
            before = bench_load.settled(self._context, 0.0)
            time.sleep(self._settings.idle_s)
            cores = bench_load.of_nodes(self._context).by_workload(before)
            # The lag is known some seconds late: what was under way before is seen by now.
            if not self._backlog():
                return cores

    def _rest(self, deadline: float) -> None:
        while waiting := self._backlog():
            if time.monotonic() > deadline:
                raise OpsError(
                    f"an earlier load has not been read after {REST_S:.0f} s ({waiting}): what comes now would be "
                    "measured with it; repeat when `ops verify K3` passes and no alert of a consumer fires"
                )
            self._tell(f"waiting for the rest of an earlier load: {waiting}")
            time.sleep(_LAG_SEEN_S)

    def _backlog(self) -> str:
        waiting = backlogs(self._context, self._path.groups)
        return ", ".join(
            f"{count:,} records for {group}" for group, count in waiting.items() if count > BACKLOG_RECORDS
        )

    def _steps(self) -> list[Outcome]:
        """Twice the rate while it holds, then once or twice between what held and what did not."""
        settings = self._settings
        rate, low, high = settings.rate or FIRST_RATE[settings.signal], 0.0, math.inf
        outcomes = self.steps
        # The first step finds cold caches and connections, so it counts for nothing where a later one does.
        while len(outcomes) < settings.steps and self._left() > self._step_needs() + self._window_needs():
            step = self.at(rate, settings.step_s, f"step {len(outcomes) + 1}")
            outcomes.append(step)
            self._tell(f"  {_words(step, self._path.item)}")
            if step.caught_up_s is None:
                break
            if step.held:
                low = max(low, rate)
            else:
                high = min(high, rate)
            if low and high / low < _CLOSE_ENOUGH:
                break
            rate = low * 2 if high == math.inf else math.sqrt(low * high) if low else rate / 2
            if rate < _LEAST_RATE:
                break
        return outcomes

    def _window(self, rate: float, idle: Mapping[str, float], figures: dict[str, Any]) -> Outcome | None:
        """The window, once more a quarter lower where it does not hold; writes each and the costs of the last."""
        outcome: Outcome | None = None
        costs: dict[str, Any] = {}
        windows: list[dict[str, Any]] = []
        for attempt in range(2):
            if attempt and self._left() < self._window_needs():
                break
            before = bench_load.settled(self._context, time.time())
            kafka_bytes = bench_load.bytes_in_kafka(self._context, self._settings.signal)
            outcome = self.at(rate, self._settings.window_s, "window")
            cost = bench_load.cost(before, bench_load.settled(self._context, time.time()), idle)
            self._tell(f"  {_words(outcome, self._path.item)}")
            result, item = outcome.result, self._path.item
            windows.append(outcome.figures())
            costs = {
                f"{item}/s in the window": round(outcome.per_second),
                **result.figures(),
                "lag s": round(outcome.lag_s, 1),
                f"CPU s per million {item}": {
                    **cost.per_million(result.acknowledged, self._path.workloads),
                    "load generator": round(result.values["cpu_seconds"] / max(1, result.acknowledged) * 1e6, 2),
                },
                "cores busy on all nodes": f"{cost.busy:.2f} of {cost.cores:g}",
                "cores of the platform's pods": round(cost.pods, 2),
                "load average of this machine": round(os.getloadavg()[0], 1),
            }
            # Of a platform that is overloaded these may not come; what was measured above stays.
            for more in (partial(self._path.more, outcome.mark), partial(self._in_kafka, kafka_bytes, result)):
                try:
                    costs |= more()
                except OpsError as error:
                    self._tell(f"  not measured: {error}")
            if outcome.caught_up_s is not None:
                costs["caught up after s"] = round(outcome.caught_up_s, 1)
            if outcome.held or outcome.caught_up_s is None:
                break
            rate *= _BACK_OFF
        figures |= {**costs, "windows": windows}
        return outcome

    def _in_kafka(self, before: float, result: LoadResult) -> dict[str, float]:
        added = bench_load.bytes_in_kafka(self._context, self._settings.signal) - before
        return {"bytes of an item in Kafka": round(added / max(1, result.acknowledged), 1)}

    def at(self, rate: float, seconds: float, name: str) -> Outcome:
        """Send at a rate and wait, within limits, until all of it has arrived."""
        item = self._path.item
        self._tell(f"{name}: {rate:,.0f} {item}/s for {seconds:.0f} s")
        mark = self._path.mark()
        result = run(self._target, self._batch, self._settings.load(rate, seconds))
        ended, ended_at = time.monotonic(), time.time()
        arrived_of = partial(self._path.arrived, mark, result.acknowledged, ended_at)
        arrived, missing, caught_up = self._catch_up(arrived_of, result.acknowledged, ended, name)
        on_the_way = max(0.0, result.acknowledged - min(arrived.values(), default=0.0) - self._path.tolerance())
        lag = on_the_way / rate
        if caught_up is not None:
            # What is seen late has not arrived late.
            lag = min(lag, max(0.0, caught_up - self._path.delay_s))
        why = _why(result, 0.0 if self._settings.burst else lag, seconds)
        if not why and caught_up is None:
            why = "what was acknowledged did not arrive in time"
        return Outcome(
            rate=rate,
            seconds=seconds,
            mark=mark,
            result=result,
            missing=missing if caught_up is None else {},
            lag_s=lag,
            caught_up_s=caught_up,
            waited_s=time.monotonic() - ended,
            why=why,
        )

    def _catch_up(
        self, arrived_of: Callable[[], dict[str, float]], wanted: int, ended: float, name: str
    ) -> tuple[dict[str, float], dict[str, int], float | None]:
        """What had arrived when the load ended; what is missing in the end; seconds until nothing was missing."""
        first: dict[str, float] = {}
        missing: dict[str, int] = {}
        told = problem = ""
        while True:
            try:
                arrived = arrived_of()
                first = first or arrived
                limit = wanted - self._path.tolerance()
                missing = {end: round(wanted - count) for end, count in arrived.items() if count < limit}
                problem = ""
                if not missing:
                    return first, {}, time.monotonic() - ended
            except OpsError as error:
                problem = f" ({error})"
            waited = time.monotonic() - ended
            if waited > self._settings.catch_up_s:
                return first, missing or {"unknown": wanted}, None
            left = ", ".join(f"{count:,} at {end}" for end, count in missing.items())
            if int(waited) // 10 and f"{int(waited) // 10}" != told:
                told = f"{int(waited) // 10}"
                self._tell(f"  {name}: waiting for {left or 'an answer'}{problem}, {waited:.0f} s so far")
            time.sleep(_POLL_S)

    def _step_needs(self) -> float:
        return self._settings.step_s + self._path.delay_s + 5.0

    def _window_needs(self) -> float:
        return self._settings.window_s + self._path.delay_s + 30.0

    def _left(self) -> float:
        return self._settings.limit_s - (time.monotonic() - self._started)

    def _tell(self, text: str) -> None:
        used = time.monotonic() - self._started
        self._say(f"[{used:4.0f} s, at most {max(0.0, self._left()):3.0f} s left] {text}")


def _why(result: LoadResult, lag_s: float, seconds: float) -> str:
    """Why a rate is too high; empty where it is not."""
    share = result.acknowledged / max(1, result.offered)
    if share < SHARE:
        return f"{share:.0%} of what was due was acknowledged"
    if result.latency_s("p95") > SLOW_S:
        return f"answers took {result.latency_s('p95'):.1f} s at P95"
    if lag_s > max(LAG_S, LAG_SHARE * seconds):
        return f"{lag_s:.1f} s of load were still on their way at the end"
    return ""


def _words(outcome: Outcome, item: str) -> str:
    p95 = outcome.result.latency_s("p95") * 1000
    arrived = f"all there after {outcome.caught_up_s:.1f} s" if outcome.caught_up_s is not None else ""
    end = "held" if outcome.held else f"too much: {outcome.why}"
    return "; ".join(
        part
        for part in (f"{outcome.per_second:,.0f} {item}/s, P95 {p95:.0f} ms", arrived or outcome.not_caught_up, end)
        if part
    )


def target_of(platform: Platform) -> Target:
    """The gateways' address and every layer's login."""
    return Target(
        url=platform.otlp_http,
        authority=platform.ca_certificate,
        passwords={layer: login.pair[1] for layer, login in platform.otlp_credentials.items()},
    )


def measure(context: Context, settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Measure; see `Bench.measure`."""
    return Bench(context, settings, say).measure()
