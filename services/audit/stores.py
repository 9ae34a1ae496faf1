"""Lines of PostgreSQL (components/postgres/config.py, ``LOG_LINE_PREFIX``) and of OpenSearch
(components/search/config.py: JSON of the security plugin's logger ``audit``) as accesses.

A line begins with what no client chooses: time, process, session, its start, SQLSTATE, address. SQLSTATE alone says
whether something was refused. Names of user and database follow as the client sent them, line breaks among them: they
count in their legal form only.

No client can begin a line: the server writes line breaks of its messages encoded (components/search/nodes.py). What
services are let do is not in the log, which drops it itself; what they are refused is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from services.audit.records import UNKNOWN, UNREADABLE, Access, Line, Outcome, UnreadableLineError, plain

SUPERUSER: Final = "postgres"
"""Nothing is refused to this one: what it changes is told, what others change in their own database is not."""
PROBE: Final = "pg_isready"
"""Program of the pod's probes, whose sessions do nothing."""
_LOCAL: Final = "[local]"
_DATABASE_LINE: Final = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC \[\d+\] [0-9a-f]+\.[0-9a-f]+ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC "
    r"(?P<state>[0-9A-Z]{5}) client=(?P<client>\S*) user=(?P<rest>.*)"
)
_SAID: Final = re.compile(
    r"(?P<user>[A-Za-z0-9_.-]{1,63}) db=(?P<base>[A-Za-z0-9_.-]{1,63}|\[unknown\]) "
    r"(?P<level>LOG|ERROR|FATAL):  (?P<message>.*)"
)
_AUTHORIZED: Final = re.compile(
    r"(?P<replication>replication )?connection authorized: user=(?P<user>\S+)(?: database=(?P<base>\S+))?"
    r"(?: application_name=(?P<program>.*?))?(?: SSL enabled \([^()]*\))?"
)
_STATEMENT: Final = re.compile(r"(?:statement|execute [^:]{1,63}): (?P<text>.*)")
_GRANT: Final = re.compile(r"(?P<verb>GRANT|REVOKE)\b.*", re.I)
_ROLE: Final = re.compile(
    r"(?P<verb>CREATE|ALTER|DROP)\s+(?:ROLE|USER|GROUP)\s+(?:IF\s+EXISTS\s+)?"
    r'(?P<name>"[^"]*"|[^\s;"]+).*',
    re.I,
)
_OTHER: Final = re.compile(r"(?P<verb>[A-Z]{2,12})\s+(?:OR\s+REPLACE\s+)?(?P<kind>[A-Z]{2,20})\b.*", re.I)
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_REASON: Final = re.compile(r"[A-Za-z0-9_ .\"-]{1,160}")
_FATAL, _ERROR = " FATAL:  ", " ERROR:  "
_QUOTE: Final = '"'
_DONE, _DENIED = "00000", "42501"
_LOGIN_STATES: Final = "28"


def database(line: Line) -> Access | None:
    """A login, something that was refused, or a statement of the superuser that defines or grants something."""
    match = _DATABASE_LINE.fullmatch(line.text)
    if match is None:
        # A name with a line break pushed it off its beginning.
        return _refused(line, None, UNKNOWN, "", line.text) if _FATAL in line.text else None
    said = _SAID.fullmatch(match["rest"])
    origin = "pod" if match["client"] == _LOCAL else match["client"]
    if match["state"] == _DONE:
        return _allowed(line, said, origin) if said and said["level"] == "LOG" else None
    if match["state"] == _DENIED or match["state"].startswith(_LOGIN_STATES):
        return _refused(line, said, origin, match["state"], match["rest"])
    return None


def _refused(line: Line, said: re.Match[str] | None, origin: str, state: str, text: str) -> Access | None:
    login = _FATAL in text
    if not login and _ERROR not in text:  # a second line about the first
        return None
    if said is None or said["level"] == "LOG":
        who, base = UNREADABLE, UNREADABLE
    else:
        who, base = said["user"], said["base"]
    detail = {"sqlstate": state} if state else {}
    if said and not login:
        detail["reason"] = plain(said["message"], _REASON)
    return Access(
        time=line.time,
        who=who,
        origin=origin,
        action="log in" if login else "use",
        target=_database(base),
        outcome=Outcome.REFUSED,
        detail=detail,
    )


def _allowed(line: Line, said: re.Match[str], origin: str) -> Access | None:
    if login := _AUTHORIZED.fullmatch(said["message"]):
        if login["user"] != said["user"]:
            return None
        program = login["program"] or ""
        if program == PROBE and origin == "pod":
            return None
        base = "replication" if login["replication"] else said["base"]
        return Access(
            time=line.time,
            who=said["user"],
            origin=origin,
            action="log in",
            target=_database(base),
            outcome=Outcome.ALLOWED,
            detail={"program": plain(program)} if program else {},
        )
    statement = _STATEMENT.fullmatch(said["message"]) if said["user"] == SUPERUSER else None
    if statement is None:
        return None
    action, target = _changed(statement["text"].strip(), said["base"])
    return Access(
        time=line.time, who=said["user"], origin=origin, action=action, target=target, outcome=Outcome.ALLOWED
    )


def _changed(statement: str, base: str) -> tuple[str, str]:
    """Action and target of the first line of a statement, of which it has no more than words of SQL and a role."""
    if role := _ROLE.fullmatch(statement):
        return f"{role['verb'].lower()} role", f"role:{plain(role['name'].strip(_QUOTE), _NAME)}"
    if grant := _GRANT.fullmatch(statement):
        return grant["verb"].lower(), _database(base)
    other = _OTHER.fullmatch(statement)
    return f"{other['verb']} {other['kind']}".lower() if other else "change", _database(base)


def _database(base: str) -> str:
    return f"database:{base.strip('[]')}"


_SEARCH_LINE: Final = re.compile(r"\S+ INFO audit \[[a-z0-9.-]{1,253}\] (?P<said>.*)")
_OUTCOMES: Final = {
    "FAILED_LOGIN": Outcome.REFUSED,
    "BAD_HEADERS": Outcome.REFUSED,
    "MISSING_PRIVILEGES": Outcome.REFUSED,
    "OPENDISTRO_SECURITY_INDEX_ATTEMPT": Outcome.REFUSED,
    "GRANTED_PRIVILEGES": Outcome.ALLOWED,
}
_OTHERS: Final = frozenset({"AUTHENTICATED", "SSL_EXCEPTION", "INDEX_EVENT"})
_NOBODY: Final = "<NONE>"
_CERTIFICATE: Final = "CN="
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_PRIVILEGE: Final = re.compile(r"[a-z][a-z0-9_:/*\[\]-]{1,99}")
_INDEX: Final = re.compile(r"[A-Za-z0-9.*_][A-Za-z0-9._*-]{0,119}")
_SECURITY: Final = re.compile(
    r"/_(?:plugins|opendistro)/_security/api/(?P<what>[a-z]{1,30}(?:/[A-Za-z0-9._-]{1,63})?)/?"
)
_SECURITY_HEAD: Final = "/_security/api"
_VERBS: Final = (
    ("indices:data/read/", "read"),
    ("indices:data/write/delete", "delete"),
    ("indices:data/write/", "write"),
    ("indices:", "manage"),
)
_CLUSTER: Final = "search:cluster"
_END_OF_READING: Final = "indices:data/read/scroll/clear"
_MOST_NAMED: Final = 3


def search(line: Line) -> Access | None:
    """A login that is refused, a privilege that is missing, what a person reads or writes, a change of users and roles.

    Raises:
        UnreadableLineError: The server's audit log wrote it, and it has not its form.
    """
    match = _SEARCH_LINE.fullmatch(line.text)
    if match is None:
        return None
    said = _fields(match["said"])
    category = str(said.get("audit_category"))
    outcome = _OUTCOMES.get(category)
    if outcome is None:
        if category in _OTHERS or category.startswith("COMPLIANCE_"):
            return None
        raise UnreadableLineError("a line of the search cluster's audit log has no category that is known")
    if outcome is Outcome.ALLOWED and _is_part(said):
        return None
    action, target, detail = _meant(category, said)
    return Access(
        time=line.time,
        who=_who(str(said.get("audit_request_effective_user") or "")),
        origin=plain(str(said["audit_request_remote_address"]), _ADDRESS)
        if said.get("audit_request_remote_address")
        else UNKNOWN,
        action=action,
        target=target,
        outcome=outcome,
        detail=detail,
    )


def _is_part(said: Mapping[str, Any]) -> bool:
    """Whether it belongs to a request that has a line of its own."""
    return bool(said.get("audit_trace_task_parent_id")) or said.get("audit_request_privilege") == _END_OF_READING


def _fields(text: str) -> Mapping[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise UnreadableLineError("a line of the search cluster's audit log is no JSON object")
    return said


def _who(name: str) -> str:
    if name in ("", _NOBODY):
        return UNKNOWN
    return plain(name.removeprefix(_CERTIFICATE))


def _meant(category: str, said: Mapping[str, Any]) -> tuple[str, str, dict[str, str]]:
    """Action, target and detail."""
    if category in ("FAILED_LOGIN", "BAD_HEADERS"):
        return "log in", _CLUSTER, {}
    path = str(said.get("audit_rest_request_path") or "")
    if _SECURITY_HEAD in path:
        known = _SECURITY.fullmatch(path)
        verb = "read" if said.get("audit_rest_request_method") == "GET" else "change"
        return f"{verb} security", f"security:{known['what'] if known else 'other'}", {}
    privilege = plain(str(said.get("audit_request_privilege") or ""), _PRIVILEGE)
    action = next((verb for head, verb in _VERBS if privilege.startswith(head)), "use")
    return action, _target(said.get("audit_trace_indices")), {"privilege": privilege}


def _target(indices: Any) -> str:
    if not isinstance(indices, list) or not indices:
        return _CLUSTER
    names = sorted({plain(str(name), _INDEX) for name in indices})
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"index:{','.join(names[:_MOST_NAMED])}{more}"
