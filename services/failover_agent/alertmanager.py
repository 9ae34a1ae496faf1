"""Asks one Alertmanager by its own address: HTTPS verified, a password, every call bounded in time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from services.failover_agent.settings import Alertmanagers
from services.failover_agent.silences import StoredSilence
from services.regions.records import RegionError, Silence, parse

_TIMEOUT_S = (2.0, 3.0)
"""Seconds to connect, and to wait for an answer."""
_KEYS = ("id", "startsAt", "endsAt", "createdBy", "comment")
_MOST_SHOWN = 160


class AlertmanagerError(Exception):
    """It does not answer, or refuses; one line without secrets."""


class _Named(HTTPAdapter):
    """Connections whose certificate must hold a name that is not the host's."""

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """As the base class, with the name."""
        super().init_poolmanager(*arguments, server_hostname=self._name, assert_hostname=self._name, **options)


class Alertmanager:
    """One member; for one thread. Password and authority are read again when they change."""

    def __init__(self, url: str, settings: Alertmanagers) -> None:
        self.name = urlsplit(url).netloc
        self._url, self._settings = url, settings
        self._made: tuple[tuple[str, float], requests.Session] | None = None

    def silences(self) -> list[StoredSilence]:
        """All silences that it keeps, also those that have ended.

        Raises:
            AlertmanagerError: As the class says.
        """
        answer = self._call("GET", "/silences", list)
        with self._shape():
            return [_held(silence) for silence in answer]

    def alerts(self) -> list[Mapping[str, str]]:
        """Labels of each alert that fires, told or not.

        Raises:
            AlertmanagerError: As the class says.
        """
        answer = self._call("GET", "/alerts", list)
        with self._shape():
            return [dict(alert["labels"]) for alert in answer]

    def up_s(self) -> float:
        """For how many seconds it has been running.

        Raises:
            AlertmanagerError: As the class says.
        """
        status = self._call("GET", "/status", dict)
        with self._shape():
            return (datetime.now(UTC) - datetime.fromisoformat(status["uptime"])).total_seconds()

    def silence(self, content: Mapping[str, Any]) -> None:
        """Make a silence, or change the one whose id it has.

        Raises:
            AlertmanagerError: As the class says.
        """
        self._call("POST", "/silences", dict, content)

    def end(self, silence: str) -> None:
        """End a silence.

        Raises:
            AlertmanagerError: As the class says; also when it has ended already.
        """
        self._call("DELETE", f"/silence/{quote(silence, safe='')}", None)

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made[1].close()
            self._made = None

    def _call(self, method: str, path: str, kind: type | None, content: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._session().request(
                method,
                f"{self._url}/api/v2{path}",
                data=None if content is None else json.dumps(content).encode(),
                headers={} if content is None else {"Content-Type": "application/json"},
                timeout=_TIMEOUT_S,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            raise AlertmanagerError(f"{self.name}: no answer: {_cause(error)}") from None
        if answer.status_code != requests.codes.ok:
            raise AlertmanagerError(f"{self.name}: {method} {path}: {answer.status_code} {_line(answer.text)}".rstrip())
        if kind is None:
            return None
        with self._shape():
            body = answer.json()
            if not isinstance(body, kind):
                raise TypeError
        return body

    def _session(self) -> requests.Session:
        settings = self._settings
        try:
            known = (settings.login.password_file.read_text().strip(), settings.ca_file.stat().st_mtime)
        except OSError as error:
            raise AlertmanagerError(f"{error.filename} cannot be read: {error.strerror}") from None
        if self._made is None or self._made[0] != known:
            self.close()
            session = requests.Session()
            session.trust_env = False
            session.verify = str(settings.ca_file)
            session.auth = (settings.login.user, known[0])
            if settings.server_name:
                session.mount("https://", _Named(settings.server_name))
            self._made = (known, session)
        return self._made[1]

    @contextmanager
    def _shape(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError, RegionError):
            raise AlertmanagerError(f"{self.name}: does not answer as Alertmanager's API, version 2, does") from None


def _held(silence: Mapping[str, Any]) -> StoredSilence:
    matchers = [
        {
            "name": matcher["name"],
            "value": matcher["value"],
            "isRegex": matcher["isRegex"],
            "isEqual": matcher.get("isEqual", True),
        }
        for matcher in silence["matchers"]
    ]
    content = {**{key: silence[key] for key in _KEYS}, "matchers": matchers}
    return StoredSilence(
        state=str(silence["status"]["state"]), silence=parse(Silence, json.dumps(content), "a silence")
    )


def _cause(error: BaseException) -> str:
    """The innermost reason, which is the one that says something."""
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
    return _line(str(error))


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST_SHOWN]
