"""One way to the platform's Alertmanager, for commands with and without Kubernetes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.core.alertmanager import client_of, connect
from ops.core.context import ALERTMANAGER_PORT, Context
from ops.core.errors import OpsError
from ops.core.platform import Platform, parse
from ops.core.web import Web

LOGIN = {"username": "operator", "password": "a-long-password"}


class Session:
    """Notes where it is sent, and answers as Alertmanager with nothing to tell."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def call(self, method: str, url: str, *, auth: Any, **_: Any) -> Any:
        self.calls.append((url, auth))
        return Answer()


class Answer:
    """An empty list."""

    status_code = 200

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def json(self) -> list[Any]:
        return []


@pytest.fixture
def platform(outputs: dict[str, Any]) -> Platform:
    return parse({**outputs, "alertmanager_url": "https://alerts.example.org:9093", "alertmanager_operator": LOGIN})


def context(platform: Platform, session: Session) -> Context:
    tunnels = SimpleNamespace(url=lambda pod, port: f"https://localhost:1{port}/{pod}")
    return cast(Context, SimpleNamespace(platform=platform, web=session, tunnels=tunnels))


def test_a_check_asks_the_common_address_or_one_member(platform: Platform) -> None:
    session = Session()
    Context.alertmanager(context(platform, session)).alerts()
    Context.alertmanager(context(platform, session), "alertmanager-1").alerts()
    login = (LOGIN["username"], LOGIN["password"])
    assert session.calls == [
        ("https://alerts.example.org:9093/api/v2/alerts", login),
        (f"https://localhost:1{ALERTMANAGER_PORT}/alertmanager-1/api/v2/alerts", login),
    ]


@pytest.mark.parametrize("lacks", [{"alertmanager_url": ""}, {"alertmanager_operator": None}])
def test_a_stack_without_one_is_the_same_line_everywhere(platform: Platform, lacks: dict[str, Any]) -> None:
    older, session = platform.model_copy(update=lacks), Session()
    line = "the stack has no Alertmanager: bring up a version of the platform that has alerting"

    def opened() -> None:
        with connect(older):
            pass

    attempts: list[Callable[[], object]] = [
        opened,
        lambda: client_of(older, cast(Web, session)),
        lambda: Context.alertmanager(context(older, session)),
    ]
    for ask in attempts:
        with pytest.raises(OpsError) as raised:
            ask()
        assert str(raised.value) == line
