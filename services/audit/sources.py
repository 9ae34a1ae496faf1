"""Lines of login proxies and brokers as accesses, and which function reads the lines of which source."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from services.audit import Source
from services.audit.database import database
from services.audit.grafana import grafana
from services.audit.lines import LONGEST, Line, Parser, UnreadableLineError
from services.audit.records import UNKNOWN, Access, Outcome
from services.audit.search import search

_REQUEST: Final = re.compile(
    r'access (?P<client>\S+) \S+ (?P<method>\S+) (?P<status>\d{3}) \S+ (?P<who>"(?:[^"\\]|\\.)*") (?P<target>.+)'
)
_LOGIN: Final = re.compile(r'login (?P<client>\S+) \S+ (?P<who>"(?:[^"\\]|\\.)*") \[(?P<status>\w+)\]')
_TRACE: Final = re.compile(r"trace:(?P<id>[0-9a-fA-F]{1,32})")
_LOGIN_OUTCOMES: Final = {
    "AuthSuccess": Outcome.ALLOWED,
    "AuthFailure": Outcome.REFUSED,
    "AuthError": Outcome.FAILED,
}
_REFUSALS: Final = frozenset({401, 403})
_ERRORS_FROM: Final = 400
_NOT_FOUND: Final = 404
SEARCH, QUERY, PAGE = "search", "query", "page"
"""What a request of traces was about, where it was no single trace; a page shows none."""


def traces(line: Line) -> Access | None:
    """An access at a login proxy in front of Jaeger; the workload's name ends with the clearance.

    Raises:
        UnreadableLineError: It begins like one and is none.
    """
    if line.text.startswith("access "):
        return _request(line)
    if line.text.startswith("login "):
        return _login(line)
    return None


def _request(line: Line) -> Access | None:
    match = _REQUEST.fullmatch(line.text)
    if match is None:
        raise UnreadableLineError("a request of a login proxy cannot be read")
    status = int(match["status"])
    if match["target"] == PAGE and status not in _REFUSALS:
        return None
    trace = _TRACE.fullmatch(match["target"])
    actions = {SEARCH: "search traces", QUERY: "query", PAGE: "open page"}
    if trace is None and match["target"] not in actions:
        target, action = "trace:other", "read trace"
    else:
        target = f"trace:{trace['id'].lower()}" if trace else f"traces:{match['target']}"
        action = "read trace" if trace else actions[match["target"]]
    return Access(
        time=line.time,
        who=_quoted(match["who"]),
        origin=_host(match["client"]),
        action=action,
        target=target,
        outcome=_outcome(status),
        detail={"clearance": _clearance(line.workload), "status": match["status"], "method": match["method"][:10]},
    )


def _login(line: Line) -> Access:
    match = _LOGIN.match(line.text)
    if match is None or match["status"] not in _LOGIN_OUTCOMES:
        raise UnreadableLineError("a login of a login proxy cannot be read")
    return Access(
        time=line.time,
        who=_quoted(match["who"]),
        origin=_host(match["client"]),
        action="log in",
        target=f"traces:{_clearance(line.workload)}",
        outcome=_LOGIN_OUTCOMES[match["status"]],
        detail={"clearance": _clearance(line.workload)},
    )


def _outcome(status: int) -> Outcome:
    if status in _REFUSALS:
        return Outcome.REFUSED
    return Outcome.FAILED if status >= _ERRORS_FROM and status != _NOT_FOUND else Outcome.ALLOWED


def _clearance(workload: str) -> str:
    return workload.rpartition("-")[2]


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


_DENIED: Final = re.compile(
    r"\S+ INFO kafka\.authorizer\.logger Principal = User:(?P<who>.+?) is Denied operation = (?P<operation>\w+) "
    r"from host = (?P<host>\S+) on resource = (?P<kind>\w+):\w+:(?P<name>.*) for request = (?P<request>\w+) with "
)
_KAFKA_LOGIN: Final = re.compile(
    r"\S+ INFO org\.apache\.kafka\.common\.network\.Selector \[[^\]]*\] Failed (?:re-)?authentication with "
    r"\S*/(?P<host>\S+) \(channelId=\S+\) \((?P<reason>.*)\)"
)
_MECHANISM: Final = re.compile(r"SASL mechanism (?P<mechanism>[A-Z0-9-]+)")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._*-]{1,249}")


def kafka(line: Line) -> Access | None:
    """What a broker refused: an operation, or a login. It does not tell the name that was tried at a login."""
    if denied := _DENIED.match(line.text):
        name = denied["name"] if _TOPIC.fullmatch(denied["name"]) else "unreadable"
        return Access(
            time=line.time,
            who=denied["who"][:LONGEST],
            origin=denied["host"],
            action=denied["operation"].lower(),
            target=f"{denied['kind'].lower()}:{name}",
            outcome=Outcome.REFUSED,
            detail={"request": denied["request"]},
        )
    failed = _KAFKA_LOGIN.match(line.text)
    mechanism = failed and _MECHANISM.search(failed["reason"])
    if not failed or not mechanism:  # a handshake that was broken off is no login
        return None
    return Access(
        time=line.time,
        who=UNKNOWN,
        origin=failed["host"],
        action="log in",
        target="kafka:broker",
        outcome=Outcome.REFUSED,
        detail={"mechanism": mechanism["mechanism"]},
    )


PARSERS: Final[Mapping[Source, Parser]] = {
    Source.TRACES: traces,
    Source.KAFKA: kafka,
    Source.DATABASE: database,
    Source.GRAFANA: grafana,
    Source.SEARCH: search,
}
"""Source whose lines are followed -> who reads them."""
