"""The ways of a person to dashboards and their data: through Grafana, or straight to the read address of metrics."""

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
from ops.context import Context
from ops.dashboard.ask import Asker, Span
from ops.errors import OpsError, one_line
from ops.grafana import METRICS, Grafana, address
from ops.incident.metrics import step
from ops.platform import Login
from ops.web import Web

_PROXY = f"/api/datasources/proxy/uid/{METRICS}/api/v1"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a panel asks.

    Attributes:
        path: ``/query_range`` for lines, ``/query`` for the present.
        params: As Grafana's data source sends them.
    """

    path: str
    params: Mapping[str, str]


class Door(Protocol):
    """How a person reaches dashboards and their data."""

    def sees(self, boards: Sequence[Dashboard]) -> list[Dashboard]:
        """Those of some dashboards that the person finds.

        Raises:
            OpsError: There was no answer.
        """

    def open(self, uid: str) -> str:
        """Fetch a dashboard; what is wrong, or nothing."""

    def ask(self, question: Question) -> requests.Response:
        """One question of a panel.

        Raises:
            OpsError: There was no answer.
        """

    def close(self) -> None:
        """Leave."""


class GrafanaDoor:
    """Through Grafana: its login, its dashboards, its proxy to the data source."""

    def __init__(self, ca_file: str, url: str, login: tuple[str, str]) -> None:
        self._visitor = Grafana.sign_in(ca_file, url, login)

    def sees(self, boards: Sequence[Dashboard]) -> list[Dashboard]:
        """What the search of Grafana shows: not everybody may see everything."""
        found = {each["uid"] for each in self._visitor.get("/api/search", {"type": "dash-db", "limit": "1000"})}
        return [board for board in boards if board.uid in found]

    def open(self, uid: str) -> str:
        """Fetch a dashboard."""
        try:
            found = self._visitor.get(f"/api/dashboards/uid/{uid}")
        except OpsError as error:
            return one_line(error, 160)
        return "" if isinstance(found, dict) and found.get("dashboard") else f"Grafana's {uid} has no content"

    def ask(self, question: Question) -> requests.Response:
        """One question through the proxy."""
        return self._visitor.call("GET", _PROXY + question.path, params=question.params)

    def close(self) -> None:
        """Log out and close the connections."""
        try:
            self._visitor.status("GET", "/logout")
        except OpsError:
            pass
        finally:
            self._visitor.close()


class DirectDoor:
    """Straight to the read address of metrics, without Grafana: there is no login and no dashboard to fetch."""

    def __init__(self, ca_file: str, url: str, login: tuple[str, str]) -> None:
        self._web, self._base, self._login = Web(ca_file), f"{url.rstrip('/')}/api/v1", login

    def sees(self, boards: Sequence[Dashboard]) -> list[Dashboard]:
        """All: nobody is asked."""
        return list(boards)

    def open(self, uid: str) -> str:
        """Nothing to fetch."""
        del uid
        return ""

    def ask(self, question: Question) -> requests.Response:
        """One question."""
        return self._web.call("GET", self._base + question.path, auth=self._login, params=question.params)

    def close(self) -> None:
        """Close the connections."""
        self._web.close()


Way = tuple[str, Callable[[], Door]]
"""A person's name, and what brings him in."""


def questions(board: Dashboard, asked: Asker, seen: Span) -> list[Question]:
    """Everything that a dashboard asks when it is opened."""
    return [
        _question(asked.expression(query, seen.of(panel)), panel.kind, seen.of(panel))
        for panel in board.panels
        for query in panel.queries
    ]


def _question(expression: str, kind: Kind, seen: Span) -> Question:
    start, end = (f"{moment.timestamp():.3f}" for moment in (seen.start, seen.end))
    if kind is not Kind.SERIES:
        return Question(path="/query", params={"query": expression, "time": end})
    every = f"{step(seen.start, seen.end):.0f}"
    return Question(path="/query_range", params={"query": expression, "start": start, "end": end, "step": every})


def through_grafana(context: Context, logins: Sequence[Login], count: int) -> list[Way]:
    """Ways in of so many people, who share some accounts; each has a session of his own.

    Raises:
        OpsError: The stack has no Grafana, or its address is not a private one.
    """
    url = own(address(context.platform))

    def door(login: Login) -> Callable[[], Door]:
        return lambda: GrafanaDoor(context.ca_file, url, login.pair)

    return [(f"{each.username} {number}", door(each)) for number, each in enumerate(islice(cycle(logins), count), 1)]


def directly(context: Context, count: int) -> list[Way]:
    """Ways of so many people to the read address of metrics.

    Raises:
        OpsError: Its address is not a private one.
    """
    url, login = own(context.platform.query_url), context.platform.query_reader.pair
    return [(f"reader {number}", lambda: DirectDoor(context.ca_file, url, login)) for number in range(1, count + 1)]


def own(url: str) -> str:
    """The address, when a load may go there: a loopback or private one.

    Raises:
        OpsError: It is neither, or cannot be resolved.
    """
    host = urlparse(url).hostname or ""
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise OpsError(f"{url}: {host} cannot be resolved: {one_line(error)}") from None
    public = sorted(each for each in found if not ipaddress.ip_address(each.partition("%")[0]).is_private)
    if public:
        raise OpsError(f"{url} is at {public[0]}, a public address: people are a load for private networks only")
    return url
