"""Virtual users that open dashboards concurrently, and the load time of each dashboard.

Their clients ask through Grafana, or directly at the read address of metrics.
"""

from __future__ import annotations

import ipaddress
import math
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any, Protocol
from urllib.parse import urlparse

import requests

from components.dashboards.model import Dashboard, Kind
from components.dashboards.registry import DASHBOARDS
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.grafana import METRICS, Grafana, address
from ops.core.platform import Login
from ops.core.web import Web, step
from ops.dashboards.panel_queries import QueryClient, Span, quantile, span

_PROXY = f"/api/datasources/proxy/uid/{METRICS}/api/v1"


@dataclass(frozen=True, kw_only=True)
class PanelRequest:
    """What a panel asks.

    Attributes:
        path: ``/query_range`` for lines, ``/query`` for the present.
        params: As Grafana's data source sends them.
    """

    path: str
    params: Mapping[str, str]


class DashboardClient(Protocol):
    """Access of a virtual user to dashboards and their data."""

    def visible(self, dashboards: Sequence[Dashboard]) -> list[Dashboard]:
        """Those of some dashboards that the user may see.

        Raises:
            OpsError: There was no answer.
        """

    def open(self, uid: str) -> str:
        """Fetch a dashboard; what is wrong, or nothing."""

    def send(self, panel_request: PanelRequest) -> requests.Response:
        """One question of a panel.

        Raises:
            OpsError: There was no answer.
        """

    def close(self) -> None:
        """Leave."""


class GrafanaDashboardClient:
    """Through Grafana: its login, its dashboards, its proxy to the data source."""

    def __init__(self, ca_file: str, url: str, login: tuple[str, str]) -> None:
        self._session = Grafana.sign_in(ca_file, url, login)

    def visible(self, dashboards: Sequence[Dashboard]) -> list[Dashboard]:
        """What the search of Grafana shows: not everybody may see everything."""
        uids = {hit["uid"] for hit in self._session.get("/api/search", {"type": "dash-db", "limit": "1000"})}
        return [dashboard for dashboard in dashboards if dashboard.uid in uids]

    def open(self, uid: str) -> str:
        """Fetch a dashboard."""
        try:
            dashboard = self._session.get(f"/api/dashboards/uid/{uid}")
        except OpsError as error:
            return one_line(error, 160)
        return "" if isinstance(dashboard, dict) and dashboard.get("dashboard") else f"Grafana's {uid} has no content"

    def send(self, panel_request: PanelRequest) -> requests.Response:
        """One question through the proxy."""
        return self._session.call("GET", _PROXY + panel_request.path, params=panel_request.params)

    def close(self) -> None:
        """Log out and close the connections."""
        try:
            self._session.status("GET", "/logout")
        except OpsError:
            pass
        finally:
            self._session.close()


class DirectDashboardClient:
    """Straight to the read address of metrics, without Grafana: there is no login and no dashboard to fetch."""

    def __init__(self, ca_file: str, url: str, login: tuple[str, str]) -> None:
        self._web, self._base, self._login = Web(ca_file), f"{url.rstrip('/')}/api/v1", login

    def visible(self, dashboards: Sequence[Dashboard]) -> list[Dashboard]:
        """All: nobody is asked."""
        return list(dashboards)

    def open(self, uid: str) -> str:
        """Nothing to fetch."""
        del uid
        return ""

    def send(self, panel_request: PanelRequest) -> requests.Response:
        """One panel_request."""
        return self._web.call("GET", self._base + panel_request.path, auth=self._login, params=panel_request.params)

    def close(self) -> None:
        """Close the connections."""
        self._web.close()


ClientFactory = tuple[str, Callable[[], DashboardClient]]
"""Name of a virtual user, and what makes its client."""


def panel_requests(dashboard: Dashboard, query_client: QueryClient, seen: Span) -> list[PanelRequest]:
    """Everything that a dashboard asks when it is opened."""
    return [
        _panel_request(query_client.expression(query, seen.of(panel)), panel.kind, seen.of(panel))
        for panel in dashboard.panels
        for query in panel.queries
    ]


def _panel_request(expression: str, kind: Kind, seen: Span) -> PanelRequest:
    start, end = (f"{moment.timestamp():.3f}" for moment in (seen.start, seen.end))
    if kind is not Kind.SERIES:
        return PanelRequest(path="/query", params={"query": expression, "time": end})
    every = f"{step(seen.start, seen.end):.0f}"
    return PanelRequest(path="/query_range", params={"query": expression, "start": start, "end": end, "step": every})


def through_grafana(context: Context, credentials: Sequence[Login], count: int) -> list[ClientFactory]:
    """Clients of so many virtual users, which share some accounts; each has its own session.

    Raises:
        OpsError: The stack has no Grafana, or its address is not a private one.
    """
    url = private_address(address(context.platform))

    def factory(login: Login) -> Callable[[], DashboardClient]:
        return lambda: GrafanaDashboardClient(context.ca_file, url, login.pair)

    return [
        (f"{credential.username} {number}", factory(credential))
        for number, credential in enumerate(islice(cycle(credentials), count), 1)
    ]


def directly(context: Context, count: int) -> list[ClientFactory]:
    """Clients of so many virtual users at the read address of metrics.

    Raises:
        OpsError: Its address is not a private one.
    """
    url, login = private_address(context.platform.query_url), context.platform.query_reader.pair
    return [
        (f"reader {number}", lambda: DirectDashboardClient(context.ca_file, url, login))
        for number in range(1, count + 1)
    ]


def private_address(url: str) -> str:
    """The address, when a load may go there: a loopback or private one.

    Raises:
        OpsError: It is neither, or cannot be resolved.
    """
    host = urlparse(url).hostname or ""
    try:
        addresses = {str(address_info[4][0]) for address_info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise OpsError(f"{url}: {host} cannot be resolved: {one_line(error)}") from None
    public = sorted(
        host_address
        for host_address in addresses
        if not ipaddress.ip_address(host_address.partition("%")[0]).is_private
    )
    if public:
        raise OpsError(f"{url} is at {public[0]}, a public address: the load test is for private networks only")
    return url


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
