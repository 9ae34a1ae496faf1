"""A client of Alertmanager's API (version 2): alerts, silences, the state of the cluster.

Any member will do: every Prometheus sends to all of them, and silences spread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from components.rules import ID_LABEL
from ops.core.errors import OpsError, one_line
from ops.core.platform import Platform
from ops.core.web import Web, connected

_START_MARGIN = timedelta(minutes=10)
"""A new silence is said to have begun this long ago, so that it counts at once when clocks differ: Alertmanager takes
its own present instead."""


@dataclass(frozen=True, kw_only=True)
class Matcher:
    """One condition of a silence on a label; a label that is not there is empty."""

    name: str
    value: str
    regex: bool = False
    equal: bool = True

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels meets it."""
        given = labels.get(self.name, "")
        try:
            met = re.fullmatch(self.value, given) is not None if self.regex else given == self.value
        except re.error:
            # Alertmanager's expressions know a few words that Python's do not.
            return False
        return met is self.equal

    def __str__(self) -> str:
        """As it is written in a route or on a command line."""
        sign = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}[
            (self.regex, self.equal)
        ]
        return f"{self.name}{sign}{self.value}"


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Alerts that nobody is notified of for a while.

    Attributes:
        id: Its id.
        state: ``active``, ``pending`` or ``expired``.
        matchers: All of them have to be met.
        starts: Its begin.
        ends: Its end.
        author: Who made it.
        comment: Why.
    """

    id: str
    state: str
    matchers: tuple[Matcher, ...]
    starts: datetime
    ends: datetime
    author: str
    comment: str

    @property
    def acknowledges(self) -> str:
        """Identity of the one alert that it acknowledges; empty for a silence of another kind."""
        if len(self.matchers) != 1:
            return ""
        only = self.matchers[0]
        return only.value if only.name == ID_LABEL and only.equal and not only.regex else ""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels is kept quiet by it."""
        return all(matcher.matches(labels) for matcher in self.matchers)


@dataclass(frozen=True, kw_only=True)
class FiringAlert:
    """One alert that fires.

    Attributes:
        fingerprint: Alertmanager's own short id.
        labels: Labels.
        annotations: Summary, description, runbook.
        starts: Since when it fires.
        receivers: Names of the receivers that its routes lead to.
        state: ``active``, ``suppressed`` or ``unprocessed``.
        silenced_by: Ids of silences.
        inhibited_by: Fingerprints of alerts.
        source: The rule's query in Prometheus.
    """

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts: datetime
    receivers: tuple[str, ...]
    state: str
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    source: str = ""

    @property
    def name(self) -> str:
        """Name of the alert."""
        return self.labels.get("alertname", "?")

    @property
    def identity(self) -> str:
        """What the alert and its escalated twin have in common; empty for an alert that carries none."""
        return self.labels.get(ID_LABEL, "")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """How a member sees the cluster: ``ready`` or not, and the members that it knows, itself included."""

    status: str
    members: int


class Alertmanager:
    """Reads alerts, reads and writes silences.

    Args:
        web: Session that trusts the platform.
        url: Base address.
        auth: Operator's name and password.
    """

    def __init__(self, web: Web, url: str, auth: tuple[str, str]) -> None:
        self._web, self._url, self._auth = web, url.rstrip("/"), auth

    def alerts(self) -> list[FiringAlert]:
        """Everything that fires, told or not."""
        return [_alert(alert) for alert in self._call("GET", "/alerts", list)]

    def post(self, labels: Mapping[str, str], annotations: Mapping[str, str], starts: datetime, ends: datetime) -> None:
        """Hand over one alert as Prometheus does; it has ended once ``ends`` is past.

        Raises:
            OpsError: Alertmanager refuses it, or does not answer.
        """
        alert = {
            "labels": dict(labels),
            "annotations": dict(annotations),
            "startsAt": starts.isoformat(),
            "endsAt": ends.isoformat(),
        }
        self._call("POST", "/alerts", None, [alert])

    def silences(self) -> list[Silence]:
        """All silences that are kept, also those that have ended."""
        return [_silence(silence) for silence in self._call("GET", "/silences", list)]

    def silence(
        self, matchers: Sequence[Matcher], ends: datetime, author: str, comment: str, replaces: Silence | None = None
    ) -> str:
        """Make a silence from now on, or give ``replaces`` another end, author and comment; the id that holds now.

        Raises:
            OpsError: Alertmanager refuses it, or does not answer.
        """
        starts = replaces.starts if replaces else datetime.now(UTC) - _START_MARGIN
        body = {
            **({"id": replaces.id} if replaces else {}),
            "matchers": [
                {"name": matcher.name, "value": matcher.value, "isRegex": matcher.regex, "isEqual": matcher.equal}
                for matcher in matchers
            ],
            "startsAt": starts.isoformat(),
            "endsAt": ends.isoformat(),
            "createdBy": author,
            "comment": comment,
        }
        silence_id = self._call("POST", "/silences", dict, body).get("silenceID")
        if not silence_id:
            raise OpsError(f"{self._url} did not answer with the id of a silence")
        return str(silence_id)

    def end(self, silence: str) -> None:
        """End a silence by its whole id.

        Raises:
            OpsError: There is none such, or it has ended already.
        """
        self._call("DELETE", f"/silence/{silence}", None)

    def cluster(self) -> Cluster:
        """State of the cluster."""
        cluster = self._call("GET", "/status", dict).get("cluster") or {}
        return Cluster(status=str(cluster.get("status", "?")), members=len(cluster.get("peers") or ()))

    def _call(self, method: str, path: str, kind: type | None, body: object = None) -> Any:
        response = self._web.call(
            method,
            f"{self._url}/api/v2{path}",
            auth=self._auth,
            data=None if body is None else json.dumps(body).encode(),
            headers={} if body is None else {"Content-Type": "application/json"},
        )
        with response:
            if response.status_code == 401:
                raise OpsError(
                    f"{self._url} refuses the operator's password: run `pulumi up --policy-pack policy`, which sets it "
                    "again"
                )
            if response.status_code != 200:
                raise OpsError(f"{self._url} answered {response.status_code}: {one_line(response.text, 160)}")
            if kind is None:
                return None
            try:
                content = response.json()
            except ValueError:
                raise OpsError(f"{self._url} did not answer with JSON") from None
        if not isinstance(content, kind):
            raise OpsError(f"{self._url} did not answer as Alertmanager does")
        return content


def client_of(platform: Platform, web: Web, url: str = "") -> Alertmanager:
    """The platform's Alertmanager, as its operator.

    Args:
        platform: Outputs of the stack.
        web: Session that trusts the platform.
        url: Another way to it, for example a tunnel to one member; its common address if not given.

    Raises:
        OpsError: The stack has none.
    """
    login = platform.alertmanager_operator
    if not platform.alertmanager_url or login is None:
        raise OpsError("the stack has no Alertmanager: bring up a version of the platform that has alerting")
    return Alertmanager(web, url or platform.alertmanager_url, login.pair)


@contextmanager
def connect(platform: Platform) -> Iterator[Alertmanager]:
    """The same with a session of its own; nothing of Kubernetes is needed to reach it.

    Raises:
        OpsError: The stack has none.
    """
    with connected(platform.ca_certificate) as web:
        yield client_of(platform, web)


def _alert(document: Mapping[str, Any]) -> FiringAlert:
    with _shape():
        status = document["status"]
        return FiringAlert(
            fingerprint=str(document["fingerprint"]),
            labels=dict(document["labels"]),
            annotations=dict(document.get("annotations") or {}),
            starts=datetime.fromisoformat(document["startsAt"]),
            receivers=tuple(str(receiver["name"]) for receiver in document["receivers"]),
            state=str(status["state"]),
            silenced_by=tuple(status.get("silencedBy") or ()),
            inhibited_by=tuple(status.get("inhibitedBy") or ()),
            source=str(document.get("generatorURL") or ""),
        )


def _silence(document: Mapping[str, Any]) -> Silence:
    with _shape():
        return Silence(
            id=str(document["id"]),
            state=str(document["status"]["state"]),
            matchers=tuple(
                Matcher(
                    name=matcher["name"],
                    value=matcher["value"],
                    regex=matcher["isRegex"],
                    equal=matcher.get("isEqual") is not False,
                )
                for matcher in document["matchers"]
            ),
            starts=datetime.fromisoformat(document["startsAt"]),
            ends=datetime.fromisoformat(document["endsAt"]),
            author=str(document.get("createdBy") or ""),
            comment=str(document.get("comment") or ""),
        )


@contextmanager
def _shape() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError):
        raise OpsError("Alertmanager did not answer as its API, version 2, does") from None
