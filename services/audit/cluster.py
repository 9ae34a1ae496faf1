"""Requests at the API server as accesses: events of ``audit.k8s.io/v1``, as kube-apiserver's audit webhook posts them.

Told are, of one namespace: what changes something, reads of Secrets, programs and connections in pods, and all that is
refused; of lists of Secrets also those of all namespaces. Content of objects is in no field that is read here. A client
chooses names, paths, the ``Audit-ID`` of its request and the first of its addresses (``X-Forwarded-For``): names are
taken in their legal form, the last address is that of the connection, and nothing depends on the ``Audit-ID`` alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.audit.lines import UnreadableLineError, plain
from services.audit.records import UNKNOWN, Access, Outcome

PATH: Final = "/cluster"
MOST_BODY_BYTES: Final = 16 * 1024 * 1024
"""Largest post: see `MOST_EVENT_BYTES`."""
MOST_EVENT_BYTES: Final = 12 * 1024 * 1024
"""Above what a client can make of one event with a path of 1 MiB, which is in it as name and in its message too."""
INITIAL_BACKOFF_S: Final = 30.0
"""Pause of the API server before it sends a post again; each later one is half as long again."""
MOST_EVENTS: Final = 1000
"""Events of one post; kube-apiserver sends 400 at most unless it is told otherwise."""
SECRETS: Final = "secrets"
_WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_SESSIONS: Final = {
    "exec": "exec",
    "attach": "attach",
    "portforward": "forward port",
    "log": "read log",
    "proxy": "proxy",
}
"""Subresource -> action. A request for one may last for hours: it is told when it begins."""
_ANONYMOUS: Final = "system:anonymous"
_MASTERS: Final = "system:masters"
_UNAUTHORIZED: Final = 401
_REFUSALS: Final = frozenset({_UNAUTHORIZED, 403})
_ERRORS_FROM, _NOT_FOUND = 400, 404
_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/=,+# -]{0,252}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,252}")
_WORD: Final = re.compile(r"[a-z][a-z0-9.-]{0,99}")
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_OWN: Final = ("system:serviceaccount:kube-system:", "system:node:", "system:kube-", "system:apiserver")
"""How names of Kubernetes' own parts begin."""


class _Read(BaseModel):
    """A part of an event; fields that are not needed are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _User(_Read):
    username: str = ""
    groups: tuple[str, ...] = ()


class _Object(_Read):
    resource: str = ""
    namespace: str = ""
    name: str = ""
    group: str = Field(default="", alias="apiGroup")
    subresource: str = ""


class _Status(_Read):
    code: int = 0


class Request(_Read):
    """What is read of an event: a stage of one request."""

    audit_id: str = Field(alias="auditID")
    stage: Literal["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]
    verb: str
    user: _User = _User()
    impersonated: _User | None = Field(default=None, alias="impersonatedUser")
    addresses: tuple[str, ...] = Field(default=(), alias="sourceIPs")
    place: _Object | None = Field(default=None, alias="objectRef")
    status: _Status = Field(default=_Status(), alias="responseStatus")
    received: datetime = Field(alias="requestReceivedTimestamp")
    at: datetime = Field(alias="stageTimestamp")

    @property
    def digest(self) -> str:
        """Of all that is read: equal where the same event is posted again, and for no other one."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]


class _EventList(_Read):
    kind: Literal["EventList"]
    version: Literal["audit.k8s.io/v1"] = Field(alias="apiVersion")
    items: Annotated[list[Any], Field(max_length=MOST_EVENTS)]


def events(body: bytes) -> Sequence[Any]:
    """The events of a post.

    Raises:
        UnreadableLineError: It is no list of events, or one with too many.
    """
    try:
        return _EventList.model_validate_json(body).items
    except ValidationError:
        raise UnreadableLineError(
            f"a post is no EventList of audit.k8s.io/v1 with at most {MOST_EVENTS} events"
        ) from None


def request(event: Any) -> Request:
    """One event.

    Raises:
        UnreadableLineError: It has not the form of one.
    """
    try:
        return Request.model_validate(event)
    except ValidationError:
        raise UnreadableLineError("an event of the API server cannot be read") from None


def access(told: Request, namespace: str) -> Access | None:
    """The access that an event tells of; None where it is about none of this namespace."""
    place, code = told.place, told.status.code
    if place is None or not _is_its_stage(told, place) or not _is_of_interest(told, place, namespace):
        return None
    detail = {"status": str(code)}
    if told.impersonated is not None:
        detail["as"] = plain(told.impersonated.username, _USER)
    if _MASTERS in told.user.groups:
        detail["group"] = _MASTERS
    return Access(
        time=told.received,
        who=plain(told.user.username, _USER) if told.user.username else UNKNOWN,
        origin=plain(told.addresses[-1], _ADDRESS) if told.addresses else UNKNOWN,
        action=_action(told.verb, place),
        target=_target(told, place),
        outcome=_outcome(code),
        detail=detail,
    )


_REQUEST_KEY: Final = "request/"


def request_key(digest: str) -> str:
    """Key of the position of an event: who has it was written."""
    return f"{_REQUEST_KEY}{digest}"


def request_of(key: str) -> str:
    """Digest of the event of a position; empty where it is no event's."""
    return key.removeprefix(_REQUEST_KEY) if key.startswith(_REQUEST_KEY) else ""


def _is_its_stage(told: Request, place: _Object) -> bool:
    """Whether the request is told at this stage: a long one when it begins, another one when it was answered."""
    if told.stage == "ResponseStarted":
        # Where nobody was recognized, no other stage follows.
        return _is_long(told, place) or told.status.code == _UNAUTHORIZED
    return told.stage == "Panic" or (told.stage == "ResponseComplete" and not _is_long(told, place))


def _is_long(told: Request, place: _Object) -> bool:
    return told.verb in ("watch", "proxy") or place.subresource in _SESSIONS


def _is_of_interest(told: Request, place: _Object, namespace: str) -> bool:
    secrets = place.resource == SECRETS and not place.group
    if place.namespace != namespace and not (secrets and not place.namespace):
        return False
    if told.status.code in _REFUSALS:
        return True
    if place.resource == "events" and told.user.username.startswith(_OWN):
        return False
    return told.verb in _WRITES or secrets or place.subresource in _SESSIONS


def _action(verb: str, place: _Object) -> str:
    if place.subresource in _SESSIONS:
        return _SESSIONS[place.subresource]
    word = plain(verb, _WORD)
    return f"{word} {plain(place.subresource, _WORD)}" if place.subresource else word


def _target(told: Request, place: _Object) -> str:
    kind = ".".join(plain(part, _WORD) for part in (place.resource, place.group) if part)
    if not place.namespace:
        return f"{kind} of all namespaces"
    # Whoever has no account may try as many names as they like.
    nobody = told.user.username in ("", _ANONYMOUS)
    return f"{kind}/{plain(place.name, _NAME)}" if place.name and not nobody else kind


def _outcome(code: int) -> Outcome:
    if code in _REFUSALS:
        return Outcome.REFUSED
    return Outcome.FAILED if code >= _ERRORS_FROM and code != _NOT_FOUND else Outcome.ALLOWED
