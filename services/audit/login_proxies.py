"""Lines of the login proxies in front of Jaeger, Thanos Query and Alertmanager as accesses.

What a request was about is a word that the proxy's own template chose from the path (`components.login_proxy`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from services.audit.records import LONGEST, REFUSALS, UNKNOWN, Access, Line, Outcome, UnreadableLineError, outcome_of

_REQUEST: Final = re.compile(
    r'access (?P<client>\S+) \S+ (?P<method>\S+) (?P<status>\d{3}) \S+ (?P<who>"(?:[^"\\]|\\.)*") (?P<target>.+)'
)
_LOGIN: Final = re.compile(r'login (?P<client>\S+) \S+ (?P<who>"(?:[^"\\]|\\.)*") \[(?P<status>\w+)\]')
_TRACE: Final = re.compile(r"trace:(?P<id>[0-9a-fA-F]{1,32})")
_SILENCE: Final = re.compile(r"silence:(?P<id>[0-9a-fA-F-]{36})")
_LOGIN_OUTCOMES: Final = {
    "AuthSuccess": Outcome.ALLOWED,
    "AuthFailure": Outcome.REFUSED,
    "AuthError": Outcome.FAILED,
}
SEARCH, QUERY, PAGE = "search", "query", "page"
"""What a request was about, where it was no single object; a page shows none. Whatever else a proxy tells may have been
one."""
METADATA, SILENCES, ALERTS, STATUS = "metadata", "silences", "alerts", "status"
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class _Request:
    """A request as a proxy tells of it."""

    who: str
    origin: str
    method: str
    status: int
    about: str

    @property
    def shows_nothing(self) -> bool:
        return self.about == PAGE and self.status not in REFUSALS

    def access(self, line: Line, action: str, target: str, **detail: str) -> Access:
        return Access(
            time=line.time,
            who=self.who,
            origin=self.origin,
            action=action,
            target=target,
            outcome=outcome_of(self.status),
            detail={**detail, "status": str(self.status), "method": self.method},
        )


def traces(line: Line) -> Access | None:
    """An access at a login proxy in front of Jaeger; the workload's name ends with the clearance.

    Raises:
        UnreadableLineError: It begins like one and is none.
    """
    clearance = line.workload.rpartition("-")[2]
    if login := _login(line, f"traces:{clearance}", clearance=clearance):
        return login
    request = _request(line)
    if request is None or request.shows_nothing:
        return None
    trace = _TRACE.fullmatch(request.about)
    actions = {SEARCH: "search traces", QUERY: "query", PAGE: "open page"}
    if trace is None and request.about not in actions:
        target, action = "trace:other", "read trace"
    else:
        target = f"trace:{trace['id'].lower()}" if trace else f"traces:{request.about}"
        action = "read trace" if trace else actions[request.about]
    return request.access(line, action, target, clearance=clearance)


def metrics(line: Line) -> Access | None:
    """An access at the login proxy in front of Thanos Query.

    Raises:
        UnreadableLineError: It begins like one and is none.
    """
    if login := _login(line, "metrics:login"):
        return login
    request = _request(line)
    if request is None or request.shows_nothing:
        return None
    actions = {QUERY: "query", METADATA: "read metadata", PAGE: "open page"}
    about = request.about if request.about in actions else "other"
    return request.access(line, actions.get(about, "read"), f"metrics:{about}")


def alerts(line: Line) -> Access | None:
    """An access at the login proxy in front of Alertmanager: alerts that were read, a silence that was made or ended.

    Raises:
        UnreadableLineError: It begins like one and is none.
    """
    if login := _login(line, "alertmanager:login"):
        return login
    request = _request(line)
    if request is None or request.shows_nothing:
        return None
    if silence := _SILENCE.fullmatch(request.about):
        kind, target = "silence", f"silence:{silence['id'].lower()}"
    elif request.about in (SILENCES, ALERTS, STATUS):
        kind = target = request.about
        target = f"alertmanager:{target}"
    elif request.about == PAGE:
        return request.access(line, "open page", f"alertmanager:{PAGE}")
    else:
        kind, target = "other", "alertmanager:other"
    return request.access(line, _change(kind, request.method), target)


def _change(kind: str, method: str) -> str:
    """What was done to Alertmanager."""
    if kind == "silence" and method == "DELETE":
        return "expire silence"
    if kind == SILENCES and method == "POST":
        return "create silence"
    return f"{'read' if method in _READS else 'change'} {kind}"


def _request(line: Line) -> _Request | None:
    if not line.text.startswith("access "):
        return None
    match = _REQUEST.fullmatch(line.text)
    if match is None:
        raise UnreadableLineError("a request of a login proxy cannot be read")
    return _Request(
        who=_quoted(match["who"]),
        origin=_host(match["client"]),
        method=match["method"][:10],
        status=int(match["status"]),
        about=match["target"],
    )


def _login(line: Line, target: str, **detail: str) -> Access | None:
    if not line.text.startswith("login "):
        return None
    match = _LOGIN.match(line.text)
    if match is None or match["status"] not in _LOGIN_OUTCOMES:
        raise UnreadableLineError("a login of a login proxy cannot be read")
    return Access(
        time=line.time,
        who=_quoted(match["who"]),
        origin=_host(match["client"]),
        action="log in",
        target=target,
        outcome=_LOGIN_OUTCOMES[match["status"]],
        detail=detail,
    )


def _quoted(text: str) -> str:
    """A name as Go quotes it; where it has signs that only Go writes so, as it stands."""
    try:
        name = str(json.loads(text))
    except ValueError:
        name = text.strip('"')
    return name[:LONGEST] if name not in ("", "-") else UNKNOWN


def _host(client: str) -> str:
    """The address of ``address``, ``address:port`` or ``[address]:port``."""
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::\d+)?", client)
    if bracketed:
        return bracketed[1]
    host, _, port = client.rpartition(":")
    return host if port.isdigit() and ":" not in host and host else client
