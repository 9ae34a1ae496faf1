"""Lines of Grafana as accesses: ``Request Completed`` of its logger ``context``, as JSON (``router_logging``).

The name is that of the session or of Basic auth; at the login form itself Grafana tells none, but the requests that
follow have it. The address is the one that a proxy in front names, which a client may name too.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from services.audit.lines import Line, UnreadableLineError, plain
from services.audit.records import UNKNOWN, Access, Outcome

_REQUEST: Final = "Request Completed"
_HEAD: Final = 1000
"""Characters in which a line says what it is about: its message stands before the path."""
_UID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_PART: Final = re.compile(r"[a-z][a-z-]{0,31}")
_METHOD: Final = re.compile(r"[A-Z]{3,7}")
_REFUSALS: Final = frozenset({401, 403})
_ERRORS_FROM, _NOT_FOUND = 400, 404
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# Paths are told decoded: a line break in one is a character as any other.
_DASHBOARD: Final = (
    re.compile(r"/d/(?P<uid>[^/]+)(?:/.*)?", re.DOTALL),
    re.compile(r"/api/dashboards/uid/(?P<uid>[^/]+)"),
    re.compile(r"/apis/dashboard\.grafana\.app/[^/]+/namespaces/[^/]+/dashboards/(?P<uid>[^/]+)(?:/dto)?"),
)
_SOURCE: Final = re.compile(
    r"/api/datasources/(?:proxy/(?:uid/)?(?P<proxied>[^/]+)(?:/.*)?|uid/(?P<uid>[^/]+)/.*"
    r"|(?P<number>[^/]+)/(?:resources|health)(?:/.*)?)",
    re.DOTALL,
)
"""By identity, or by number, which Grafana takes as well."""
_QUERY: Final = re.compile(
    r"/api/(?:ds/query|tsdb/query)|/apis/(?:query|[^/]+\.datasource)\.grafana\.app/.*", re.DOTALL
)
_PEOPLE: Final = re.compile(r"/api/(?:admin|users|org)(?:/.*)?", re.DOTALL)
_LOGIN: Final = "/login"


def grafana(line: Line) -> Access | None:
    """A login, a dashboard, a query, a change, a look at accounts, or anything that is refused.

    Raises:
        UnreadableLineError: It is about a request and has not its fields, or is cut.
    """
    if not line.text.startswith("{"):
        return None
    try:
        said = json.loads(line.text)
    except ValueError:
        if _REQUEST in line.text[:_HEAD]:  # whose path is so long that the line was cut
            raise UnreadableLineError("a request of Grafana is no whole line") from None
        return None
    if said.get("logger") != "context" or said.get("msg") != _REQUEST:
        return None
    try:
        method, path, status = str(said["method"]), str(said["path"]), int(said["status"])
    except (KeyError, TypeError, ValueError):
        raise UnreadableLineError("a request of Grafana cannot be read") from None
    meant = _meant(method, path)
    if meant is None and status not in _REFUSALS:
        return None
    action, target = meant or ("open", "grafana:other")
    return Access(
        time=line.time,
        who=_who(said),
        origin=plain(str(said.get("remote_addr")), _ADDRESS) if said.get("remote_addr") else UNKNOWN,
        action=action,
        target=target,
        outcome=_outcome(status),
        detail={"status": str(status), "method": plain(method, _METHOD)},
    )


def _who(said: dict[str, Any]) -> str:
    name = str(said.get("uname") or "")
    return plain(name) if name else UNKNOWN


def _meant(method: str, path: str) -> tuple[str, str] | None:
    """Action and target; None where it says nothing about anybody."""
    if path == _LOGIN:
        return ("log in", "grafana:login") if method == "POST" else None
    if _QUERY.fullmatch(path):
        return "query", "grafana:data sources"
    if source := _SOURCE.fullmatch(path):
        return "query", f"source:{plain(source[source.lastgroup or 0], _UID)}"
    if method not in _READS:
        part = path.removeprefix("/apis/").removeprefix("/api/").lstrip("/").partition("/")[0]
        return "change", f"grafana:{plain(part, _PART)}"
    for form in _DASHBOARD:
        if dashboard := form.fullmatch(path):
            return "read dashboard", f"dashboard:{plain(dashboard['uid'], _UID)}"
    return ("read", "grafana:accounts") if _PEOPLE.fullmatch(path) else None


def _outcome(status: int) -> Outcome:
    if status in _REFUSALS:
        return Outcome.REFUSED
    return Outcome.FAILED if status >= _ERRORS_FROM and status != _NOT_FOUND else Outcome.ALLOWED
