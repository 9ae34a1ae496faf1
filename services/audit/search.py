"""Lines of OpenSearch as accesses: JSON of the security plugin's logger ``audit`` (components/search/config.py).

No client can begin a line: the server writes line breaks of its messages encoded (components/search/nodes.py). What
services are let do is not in the log, which drops it itself; what they are refused is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from services.audit.lines import Line, UnreadableLineError, plain
from services.audit.records import UNKNOWN, Access, Outcome

_LINE: Final = re.compile(r"\S+ INFO audit \[[a-z0-9.-]{1,253}\] (?P<said>.*)")
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
    match = _LINE.fullmatch(line.text)
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
