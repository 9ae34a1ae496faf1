"""Requests, answers and routes of an HTTP interface of JSON, with identifiers, addresses and times as Grafana writes
them; data frames: columns with a schema, and values that JSON has no number for apart; and pages of HTML: everything
that is put into one is escaped, and a browser may load nothing and run nothing.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lab.fakes.grafana.users import User

_PLACE: Final = re.compile(r"\{(\w+)(\*?)\}")


class Need(Enum):
    """Who may use a route."""

    NOBODY = "nobody"
    PERSON = "signed in"
    ADMIN = "Admin"
    SERVER_ADMIN = "server administrator"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client asks.

    Attributes:
        method: HTTP method.
        path: Path without the query, decoded.
        query: Values of each parameter.
        headers: Headers, names in lower case.
        body: Body.
        remote: Address of the client.
        places: Values of the route's places.
        who: Who asks; none: not signed in.
    """

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    remote: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    who: User | None = None

    @property
    def person(self) -> User:
        """Who asks, on a route that needs somebody."""
        if self.who is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Unauthorized")
        return self.who

    def one(self, name: str, default: str = "") -> str:
        """A query parameter's first value."""
        return next(iter(self.query.get(name, ())), default)

    def number(self, name: str, default: int, most: int) -> int:
        """A query parameter that is a positive number; anything else is ``default``."""
        value = self.one(name)
        return min(int(value), most) if value.isdigit() and len(value) < 10 and int(value) else default

    def content(self) -> dict[str, Any]:
        """The body, a JSON object.

        Raises:
            RefusedError: It is none (400).
        """
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data")
        return content


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a client gets."""

    status: int = HTTPStatus.OK
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def plus(self, *headers: tuple[str, str]) -> Answer:
        """The same with further headers."""
        return replace(self, headers=(*self.headers, *headers))


class RefusedError(Exception):
    """A request that is refused, with what the client is told."""

    def __init__(self, status: int, message: str, /, **more: Any) -> None:
        """Answer with that status and a body of ``message`` and ``more``."""
        super().__init__(message)
        self.status, self.body = int(status), {**more, "message": message}


def denied(action: str) -> RefusedError:
    """403 as Grafana's access control writes it."""
    return RefusedError(
        HTTPStatus.FORBIDDEN,
        f"You'll need additional permissions to perform this action. Permissions needed: {action}",
        accessErrorId=f"ACE{secrets.randbelow(10**10):010d}",
        title="Access denied",
    )


def unauthorized(message: str = "Unauthorized", message_id: str = "auth.unauthorized") -> RefusedError:
    """401 as Grafana writes it."""
    return RefusedError(HTTPStatus.UNAUTHORIZED, message, extra=None, messageId=message_id, statusCode=401, traceID="")


def told(content: object, status: int = HTTPStatus.OK) -> Answer:
    """An answer in JSON."""
    return Answer(
        status=status,
        body=json.dumps(content, separators=(",", ":"), default=str).encode(),
        headers=(("Content-Type", "application/json"),),
    )


Handler = Callable[[Request], Answer]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One route.

    Attributes:
        method: HTTP method; GET answers HEAD as well.
        path: Path with places: ``{name}`` is one part of it, ``{name*}`` the rest.
        need: Who may use it.
        handle: What answers.
        action: Permission that a refusal names.
        change: Whether it changes content; such requests are always logged.
    """

    method: str
    path: str
    need: Need
    handle: Handler
    action: str = ""
    change: bool = False

    @property
    def handler(self) -> str:
        """Name in metrics and logs, with places as Grafana writes them."""
        return _PLACE.sub(lambda match: "*" if match[2] else f":{match[1]}", self.path)


class Router:
    """Finds the route of a request: exact parts before places."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Know these routes."""
        self._routes = [
            (_pattern(route.path), route)
            for route in sorted(routes, key=lambda route: (route.path.count("{"), route.path))
        ]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Route and values of its places."""
        wanted = "GET" if method == "HEAD" else method
        for pattern, route in self._routes:
            match = pattern.fullmatch(path) if route.method == wanted else None
            if match:
                return route, match.groupdict()
        return None


def _pattern(path: str) -> re.Pattern[str]:
    text, at = "", 0
    for match in _PLACE.finditer(path):
        text += re.escape(path[at : match.start()])
        text += f"(?P<{match[1]}>.*)" if match[2] else f"(?P<{match[1]}>[^/]+)"
        at = match.end()
    return re.compile(text + re.escape(path[at:]) + ("" if path == "/" else "/?"))


_UID: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_UID: Final = 40
_LONGEST_TITLE: Final = 189
_NEVER: Final = "0001-01-01T00:00:00Z"


def chosen_uid(value: Any) -> str:
    """The identifier that somebody wants, or a new one.

    Raises:
        RefusedError: 400, it is too long or has signs that are not allowed.
    """
    if value in (None, ""):
        return "d" + secrets.token_hex(7)
    if not isinstance(value, str) or not _UID.fullmatch(value):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "uid contains illegal characters")
    if len(value) > _LONGEST_UID:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"uid too long, max {_LONGEST_UID} characters")
    return value


def title(value: Any, empty: str) -> str:
    """A title.

    Raises:
        RefusedError: 400 with ``empty`` as message, or it is too long.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise RefusedError(HTTPStatus.BAD_REQUEST, empty)
    if len(text) > _LONGEST_TITLE or "\0" in text:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the title is longer than {_LONGEST_TITLE} characters")
    return text


def slug(text: str) -> str:
    """A title as part of an address."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "-"


def text(content: dict[str, Any], key: str, default: str = "") -> str:
    """A text of a body.

    Raises:
        RefusedError: 400, it is no text.
    """
    value = content.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or "\0" in value:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "bad request data")
    return value


def number(value: Any) -> int:
    """A number that may be written as a text, 0 if it is none."""
    if isinstance(value, str) and value.isdigit() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0


def time(value: Any) -> str:
    """A time of the database."""
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if value else _NEVER


_KINDS: Final = {"time": "time.Time", "number": "float64", "string": "string", "other": "json.RawMessage"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        name: Its name.
        kind: ``time`` (milliseconds since 1970), ``number``, ``string``, or ``other`` (anything that JSON can hold).
        values: Its values.
        labels: Labels of a series.
        config: How it is shown.
    """

    name: str
    kind: str
    values: Sequence[Any]
    labels: Mapping[str, str] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def frame(ref: str, columns: Sequence[Column], *, meta: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """One frame.

    Args:
        ref: Which query it answers.
        columns: Its columns, all of the same length.
        meta: What kind of frame it is.
        name: Its name.
    """
    written = [
        _numbers(column.values) if column.kind == "number" else (list(column.values), None) for column in columns
    ]
    data: dict[str, Any] = {"values": [values for values, _ in written]}
    if any(odd for _, odd in written):
        data["entities"] = [odd for _, odd in written]
    schema = {"refId": ref, "meta": dict(meta), "fields": [_field(column) for column in columns]}
    return {"schema": {"name": name, **schema} if name else schema, "data": data}


def _field(column: Column) -> dict[str, Any]:
    frame_field: dict[str, Any] = {
        "name": column.name,
        "type": column.kind,
        "typeInfo": {"frame": _KINDS[column.kind]},
    }
    if column.labels is not None:
        frame_field["labels"] = dict(column.labels)
    if column.config:
        frame_field["config"] = dict(column.config)
    return frame_field


def _numbers(values: Sequence[float | None]) -> tuple[list[float | None], dict[str, list[int]] | None]:
    """Values with those left out that JSON has no number for, and the places of these."""
    odd: dict[str, list[int]] = {"NaN": [], "Inf": [], "NegInf": []}
    plain: list[float | None] = []
    for place, value in enumerate(values):
        if value is None or math.isfinite(value):
            plain.append(value)
            continue
        plain.append(None)
        odd["NaN" if math.isnan(value) else "Inf" if value > 0 else "NegInf"].append(place)
    places_by_name = {name: places for name, places in odd.items() if places}
    return plain, places_by_name or None


TEMPLATES: Final = Path(__file__).parent / "templates"
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(template: str, status: int = HTTPStatus.OK, **values: object) -> Answer:
    """A page of a template of the fake."""
    return answer(_templates().get_template(template).render(values), status)


def answer(text: str, status: int = HTTPStatus.OK) -> Answer:
    """An answer in HTML. Styles are in the page itself, since drawings carry theirs; there is no script."""
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", _POLICY),
        # With `no-referrer` a browser sends its forms with the origin "null", which no check of the origin lets pass.
        ("Referrer-Policy", "same-origin"),
    )
    return Answer(status=status, body=text.encode("utf-8", "replace"), headers=headers)


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
