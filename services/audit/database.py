"""Lines of PostgreSQL as accesses (components/postgres/config.py, ``LOG_LINE_PREFIX``).

A line begins with what no client chooses: time, process, session, its start, SQLSTATE, address. SQLSTATE alone says
whether something was refused. Names of user and database follow as the client sent them, line breaks among them: they
count in their legal form only.
"""

from __future__ import annotations

import re
from typing import Final

from services.audit.lines import UNREADABLE, Line, plain
from services.audit.records import UNKNOWN, Access, Outcome

SUPERUSER: Final = "postgres"
"""Nothing is refused to this one: what it changes is told, what others change in their own database is not."""
PROBE: Final = "pg_isready"
"""Program of the pod's probes, whose sessions do nothing."""
_LOCAL: Final = "[local]"
_LINE: Final = re.compile(
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
    match = _LINE.fullmatch(line.text)
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
        target=_target(base),
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
            target=_target(base),
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
        return grant["verb"].lower(), _target(base)
    other = _OTHER.fullmatch(statement)
    return f"{other['verb']} {other['kind']}".lower() if other else "change", _target(base)


def _target(base: str) -> str:
    return f"database:{base.strip('[]')}"
