"""Virtual users that open dashboards concurrently, and the load time of each dashboard."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from components.dashboards.model import Dashboard
from components.dashboards.registry import DASHBOARDS
from ops.core.errors import OpsError, one_line
from ops.dashboards.panel_queries import QueryClient, quantile, span
from ops.loadtest.dashboard_client import ClientFactory, DashboardClient, PanelRequest, panel_requests

SECONDS = 60.0
THINK_S = 30.0
"""How long a user looks at a dashboard, on average: as long as until it refreshes itself."""
MEAN_S, P95_S = 3.0, 5.0
"""Requirement S2: how long a dashboard may take on average, and how long 95 of 100 may."""
CONNECTIONS = 6
"""Questions that a browser has under way at a server at the same time."""
_ANSWER = b'{"status":"success"'
_EMPTY = b'"result":[]'


@dataclass(frozen=True, kw_only=True)
class DashboardLoad:
    """One load of a dashboard.

    Attributes:
        dashboard: Its short name.
        began: Monotonic seconds.
        seconds: Until the last panel had its answer.
        queries: Questions asked.
        empty: Answers without a series.
        problems: What went wrong; empty when every panel got an answer.
    """

    dashboard: str
    began: float
    seconds: float
    queries: int
    empty: int = 0
    problems: tuple[str, ...] = ()


@dataclass
class VirtualUser:
    """A virtual user that opens one dashboard after the other.

    Attributes:
        name: For messages.
        factory: Makes the client when the user starts.
        dashboards: In the order in which this user opens them, again and again.
        query_client: Fills queries in.
        loads: What came of it.
        problem: Why the user did not get in.
    """

    name: str
    factory: Callable[[], DashboardClient]
    dashboards: Sequence[Dashboard]
    query_client: QueryClient
    loads: list[DashboardLoad] = field(default_factory=list)
    problem: str = ""

    def run(self, first: float, until: float, think_s: float, stopping: threading.Event) -> None:
        """Open dashboards, one at least.

        Args:
            first: When the user arrives (monotonic seconds).
            until: No further dashboard is opened after this moment; the one that is open is read to its end.
            think_s: Average pause between two of them.
            stopping: Ends it early.
        """
        if stopping.wait(max(0.0, first - time.monotonic())):
            return
        try:
            client = self.factory()
        except OpsError as error:
            self.problem = f"{self.name}: {one_line(error, 160)}"
            return
        pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=self.name)
        try:
            dashboards = client.visible(self.dashboards)
            if not dashboards:
                self.problem = f"{self.name}: sees none of {len(self.dashboards)} dashboards"
            for dashboard in cycle(dashboards):
                self.loads.append(self._open(client, pool, dashboard))
                pause = min(random.uniform(0.5, 1.5) * think_s, max(0.0, until - time.monotonic()))
                if stopping.wait(pause) or time.monotonic() >= until:
                    return
        except OpsError as error:
            self.problem = f"{self.name}: {one_line(error, 160)}"
        finally:
            pool.shutdown(cancel_futures=True)
            client.close()

    def _open(self, client: DashboardClient, pool: ThreadPoolExecutor, dashboard: Dashboard) -> DashboardLoad:
        began = time.monotonic()
        sent = panel_requests(dashboard, self.query_client, span(dashboard.since))
        wrong = client.open(dashboard.uid)
        if wrong:
            return DashboardLoad(
                dashboard=dashboard.name, began=began, seconds=time.monotonic() - began, queries=0, problems=(wrong,)
            )
        answers = list(pool.map(lambda question: _answer(client, question), sent))
        return DashboardLoad(
            dashboard=dashboard.name,
            began=began,
            seconds=time.monotonic() - began,
            queries=len(sent),
            empty=sum(empty for empty, _ in answers),
            problems=tuple(problem for _, problem in answers if problem),
        )


def _answer(client: DashboardClient, panel_request: PanelRequest) -> tuple[bool, str]:
    """Whether an answer has no series, and what is wrong with it; drawing it is a browser's own work."""
    try:
        with client.send(panel_request) as response:
            status, content = response.status_code, response.content
    except OpsError as error:
        return False, one_line(error, 160)
    if status != 200 or not content.startswith(_ANSWER):
        return (
            False,
            f"{status} to {panel_request.params['query'][:80]}: {one_line(content[:120].decode(errors='replace'))}",
        )
    return _EMPTY in content, ""


@dataclass(frozen=True, kw_only=True)
class LoadTestResult:
    """Results of all virtual users.

    Attributes:
        count: Virtual users.
        seconds: From the first arrival to the last answer.
        loads: All of theirs.
        refused: Why some of them did not get in.
    """

    count: int
    seconds: float
    loads: tuple[DashboardLoad, ...]
    refused: tuple[str, ...] = ()

    @property
    def times(self) -> list[float]:
        """Seconds of all loads, quickest first."""
        return sorted(load.seconds for load in self.loads)

    @property
    def mean(self) -> float:
        """Average seconds; no number when nobody opened anything."""
        return sum(self.times) / len(self.times) if self.times else math.nan

    @property
    def errors(self) -> list[str]:
        """Everything that went wrong."""
        return [*self.refused, *(problem for load in self.loads for problem in load.problems)]

    @property
    def at_once(self) -> int:
        """Most dashboards that were being opened at the same time."""
        ends = [(load.began + load.seconds, -1) for load in self.loads]
        now = most = 0
        for _, change in sorted([*((load.began, 1) for load in self.loads), *ends]):
            now += change
            most = max(most, now)
        return most

    def wrong(self) -> list[str]:
        """What the requirement does not allow."""
        if not self.loads:
            return [f"nobody opened a dashboard: {'; '.join(self.refused[:3]) or 'there was no time'}"]
        problems = [f"{len(self.errors)} errors, such as {self.errors[0]}"] if self.errors else []
        if not self.mean <= MEAN_S:
            problems.append(f"a dashboard takes {self.mean:.2f} s on average, at most {MEAN_S:g} s")
        if not quantile(self.times, 0.95) <= P95_S:
            problems.append(f"95 of 100 dashboards take {quantile(self.times, 0.95):.2f} s, at most {P95_S:g} s")
        return problems

    def figures(self) -> dict[str, Any]:
        """For evidence."""
        queries = sum(load.queries for load in self.loads)
        by_dashboard: dict[str, list[float]] = defaultdict(list)
        for load in self.loads:
            by_dashboard[load.dashboard].append(load.seconds)
        return {
            "people": self.count,
            "seconds": round(self.seconds, 1),
            "openings": len(self.loads),
            "most at the same time": self.at_once,
            "average s": _rounded(self.mean),
            "P50 s": _rounded(quantile(self.times, 0.5)),
            "P95 s": _rounded(quantile(self.times, 0.95)),
            "max s": _rounded(self.times[-1] if self.times else math.nan),
            "queries": queries,
            "queries/s": round(queries / self.seconds, 1) if self.seconds else 0.0,
            "answers without a series": sum(load.empty for load in self.loads),
            "errors": len(self.errors),
            "average s by dashboard": {
                name: _rounded(sum(times) / len(times)) for name, times in sorted(by_dashboard.items())
            },
            **({"what went wrong": dict(Counter(self.errors).most_common(5))} if self.errors else {}),
        }


def _rounded(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def run_virtual_users(
    factories: Sequence[ClientFactory],
    query_client: QueryClient,
    *,
    seconds: float = SECONDS,
    think_s: float = THINK_S,
    dashboards: Sequence[Dashboard] = DASHBOARDS,
    progress: Callable[[str], None] = lambda _: None,
) -> LoadTestResult:
    """Run virtual users for a while.

    They arrive one by one within the time that one of them looks at a dashboard, and each begins with another one.

    Args:
        factories: One for each virtual user.
        query_client: Fills queries in.
        seconds: No further dashboard is opened after so many; what is open is read to its end.
        think_s: Average time that a user looks at a dashboard.
        dashboards: What they open.
        progress: Told what is going on.
    """
    began, stopping = time.monotonic(), threading.Event()
    arrival = min(think_s, seconds / 2) / max(1, len(factories))
    users = [
        VirtualUser(
            name=name,
            factory=factory,
            dashboards=list(
                islice(cycle(dashboards), number % len(dashboards), number % len(dashboards) + len(dashboards))
            ),
            query_client=query_client,
        )
        for number, (name, factory) in enumerate(factories)
    ]
    threads = [
        threading.Thread(
            target=user.run,
            args=(began + number * arrival, began + seconds, think_s, stopping),
            name=user.name,
            daemon=True,
        )
        for number, user in enumerate(users)
    ]
    for thread in threads:
        thread.start()
    try:
        while alive := [thread for thread in threads if thread.is_alive()]:
            alive[0].join(0.5)
            progress(f"{sum(len(user.loads) for user in users)} dashboards opened by {len(users)} virtual users")
    finally:
        stopping.set()
    return LoadTestResult(
        count=len(users),
        seconds=time.monotonic() - began,
        loads=tuple(load for user in users for load in user.loads),
        refused=tuple(user.problem for user in users if user.problem),
    )
