"""Clients of dashboards and their data: through Grafana, or directly at the read address of metrics."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Protocol
from urllib.parse import urlparse

import requests

from components.dashboards.model import Dashboard, Kind
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.grafana import METRICS, Grafana, address
from ops.core.metrics import step
from ops.core.platform import Login
from ops.core.web import Web
from ops.dashboards.panel_queries import QueryClient, Span

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
