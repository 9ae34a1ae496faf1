"""One layer sends ten times its share, another goes on as always: it is refused nothing (requirement O1, ADR 0045)."""

from __future__ import annotations

import http.client
import itertools
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from components.telemetry.layers import ANALYTICS, DEVICE, Layer, Signal
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.terminal import say
from ops.drills.gate_neighbour import ACCEPTED, UNSENT, Neighbour, Service, service
from ops.drills.gate_target import ANSWER_S, WORKLOAD, Target, own_target

GREEDY: Final[Layer] = ANALYTICS
"""Sends too much."""
OTHER: Final[Layer] = DEVICE
"""Sends as always."""
TIMES: Final = 10
"""What the greedy layer sends, in shares."""
LEAST_TIMES: Final = 5
"""Below that, this machine could not send enough for the drill to show anything."""
REFUSED: Final = "429"
UNTIMED: Final = "429 without Retry-After"
LOUD_S: Final = 60.0
QUIET_S: Final = 20.0
_MOST_POINTS: Final = 2000
_SENDERS: Final = 8
_COUNTED_S: Final = 90.0
_SHARE = f'otelcol_login_share{{job="{WORKLOAD}",layer="{GREEDY.user}",signal="{Signal.METRICS}",kind="items"}}'
_PASSED = f'otelcol_gate_accepted_items_total{{job="{WORKLOAD}",layer="{GREEDY.user}",signal="{Signal.METRICS}"}}'
_THROTTLED = f'otelcol_login_throttled_requests_total{{job="{WORKLOAD}",layer="%s"}}'


@dataclass(frozen=True, kw_only=True)
class Greed:
    """What came of the layer that sends too much.

    Attributes:
        share: Points a second that all gateways together take of it.
        points: In one request.
        answers: How often each answer came.
        seconds: How long it sent.
    """

    share: float
    points: int
    answers: Counter[str]
    seconds: float

    @property
    def offered(self) -> float:
        """Points a second that it sent."""
        return sum(self.answers.values()) * self.points / self.seconds

    @property
    def acknowledged(self) -> int:
        """Points that it was told are safe."""
        return self.answers[ACCEPTED] * self.points


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of both.

    Attributes:
        greed: Of the layer that sends too much.
        quiet: How the other was served before.
        loud: How it was served meanwhile.
    """

    greed: Greed
    quiet: Service
    loud: Service

    @property
    def refused(self) -> int:
        """Requests of the other layer that were refused; one whose turn did not come was not sent."""
        return sum(times for answer, times in self.loud.failures.items() if answer != UNSENT)

    def problems(self) -> list[str]:
        """What did not hold."""
        greed = self.greed
        strange = {answer: times for answer, times in greed.answers.items() if answer not in (ACCEPTED, REFUSED)}
        problems = [f"the greedy layer was answered {answer} {times} times" for answer, times in strange.items()]
        if greed.offered < LEAST_TIMES * greed.share:
            problems.append(
                f"only {greed.offered:.0f} points/s were sent, the share is {greed.share:.0f}: nothing is shown"
            )
        if not greed.answers[REFUSED]:
            problems.append(f"nothing of {greed.offered:.0f} points/s was refused, the share is {greed.share:.0f}")
        if not greed.answers[ACCEPTED]:
            problems.append("the greedy layer did not have its own share")
        if self.refused:
            problems.append(f"the other layer was refused {self.refused} times: {dict(self.loud.failures)}")
        return problems

    def figures(self) -> dict[str, Any]:
        """For evidence."""
        greed = self.greed
        return {
            "share points/s": round(greed.share),
            "sent points/s": round(greed.offered),
            "sent, in shares": round(greed.offered / greed.share, 1),
            "acknowledged points/s": round(greed.acknowledged / greed.seconds),
            "refused requests of the greedy layer": greed.answers[REFUSED],
            "answers to the greedy layer": dict(greed.answers),
            "other layer requests": self.loud.requests,
            "other layer refusals": self.refused,
            "other layer P95 s before": self.quiet.p95_s,
            "other layer P95 s": self.loud.p95_s,
            "other layer worst s": self.loud.worst_s,
        }


class _Sender:
    """One connection that is opened again when it breaks."""

    def __init__(self, target: Target) -> None:
        self._headers = {
            "Content-Type": "application/x-protobuf",
            "Authorization": target.header(GREEDY.name),
        }
        settings = ssl.create_default_context(cadata=target.authority)
        self._connection = http.client.HTTPSConnection(*target.http, timeout=ANSWER_S, context=settings)

    def send(self, points: int) -> str:
        """Status code of a request with so many points."""
        now = time.time_ns()
        resource = otlp.resource_of(GREEDY.name, "e2e", "fairness")
        values: list[tuple[int, float, dict[str, str]]] = [
            (now - index * 1_000_000, 1.0, {}) for index in range(points)
        ]
        body = otlp.gauge(resource, "obs_verify_probe", values).SerializeToString()
        try:
            self._connection.request("POST", "/v1/metrics", body, self._headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return "not connected"
        if str(answer.status) == REFUSED and not answer.headers.get("Retry-After", "").isdecimal():
            return UNTIMED
        return str(answer.status)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def greedy(target: Target, *, share: float, times: float, seconds: float) -> Greed:
    """Send too much, whatever is answered.

    Args:
        target: The gateway.
        share: Points a second that are allowed.
        times: How many times as many are sent.
        seconds: For how long.
    """
    points = max(1, min(_MOST_POINTS, round(share / 4)))
    every = points / (share * times)
    begin = time.monotonic()
    until = begin + seconds
    turns = itertools.count()
    lock, answers = threading.Lock(), Counter[str]()

    def send() -> None:
        sender = _Sender(target)
        try:
            while True:
                with lock:
                    due = begin + next(turns) * every
                if due >= until or time.monotonic() >= until:
                    return
                time.sleep(max(0.0, due - time.monotonic()))
                answer = sender.send(points)
                with lock:
                    answers[answer] += 1
        finally:
            sender.close()

    senders = [threading.Thread(target=send, daemon=True) for _ in range(_SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(seconds + 2 * ANSWER_S)
    return Greed(share=share, points=points, answers=answers, seconds=time.monotonic() - begin)


def beside_each_other(
    target: Target, *, share: float, times: float = TIMES, quiet_s: float = QUIET_S, loud_s: float = LOUD_S
) -> Outcome:
    """One layer with too much beside one as always.

    Args:
        target: The gateway.
        share: Points a second that all gateways together take of the greedy layer.
        times: What it sends, in shares.
        quiet_s: Seconds without it, before and after.
        loud_s: Seconds with it.

    Raises:
        OpsError: The other client does not work.
    """
    with Neighbour(target, OTHER.name) as neighbour:
        time.sleep(quiet_s)
        first = time.monotonic()
        greed = greedy(target, share=share, times=times, seconds=loud_s)
        last = time.monotonic()
        time.sleep(quiet_s)
    return Outcome(
        greed=greed,
        quiet=service(neighbour.samples, end=first),
        loud=service(neighbour.samples, first, last),
    )


def fairness_on_platform(context: Context, figures: dict[str, Any]) -> list[str]:
    """Carry it out on the platform; what did not hold.

    Args:
        context: The platform.
        figures: Filled with what was seen.

    Raises:
        OpsError: A server does not answer, or gateways do not tell their shares.
    """
    target = own_target(context)
    share = context.thanos.number(f"sum(max by (instance) ({_SHARE}))")
    if not share:
        raise OpsError(f"no gateway tells the share of layer {GREEDY.name}: is {_SHARE} scraped?")

    def read(query: str) -> float:
        return context.thanos.number(f"sum({query})") or 0.0

    passed, throttled = read(_PASSED), read(_THROTTLED % OTHER.user)
    say(f"layer {GREEDY.name} sends {TIMES} times its share of {share:.0f} points/s for {LOUD_S:.0f} s")
    outcome = beside_each_other(target, share=share)
    problems = outcome.problems()
    arrived = _settled(lambda: read(_PASSED) - passed, outcome.greed.acknowledged)
    if arrived < outcome.greed.acknowledged:
        problems.append(f"{outcome.greed.acknowledged} points were acknowledged, {arrived:.0f} passed the gate")
    counted = read(_THROTTLED % OTHER.user) - throttled
    if counted > 0:
        problems.append(f"gateways counted {counted:.0f} refusals of layer {OTHER.name}")
    figures |= outcome.figures()
    figures["acknowledged and lost"] = max(0, round(outcome.greed.acknowledged - arrived))
    return problems


def _settled(read: Callable[[], float], wanted: float) -> float:
    """A value, once it is as high as wanted, or when the time is up."""
    deadline = time.monotonic() + _COUNTED_S
    while (value := read()) < wanted and time.monotonic() < deadline:
        time.sleep(2)
    return value
