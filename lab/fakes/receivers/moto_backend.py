"""Calls one of moto's services as a WSGI application inside this process."""

from __future__ import annotations

import io
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from lab.fakes.receivers.answers import Answer

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment


def ask(application: Any, environ: WSGIEnvironment, body: bytes) -> Answer:
    """The answer of moto's application to a request whose body was read already."""
    got: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
        got.update(status=HTTPStatus(int(status.split()[0])), headers=dict(headers))
        return lambda _: None

    content = b"".join(application({**environ, "wsgi.input": io.BytesIO(body)}, start))
    return Answer(status=got["status"], content=content, kind=got["headers"].get("Content-Type", "text/xml"))


def refused(status: HTTPStatus, code: str, message: str, *, namespace: str, request: str) -> Answer:
    """AWS' answer to what it does not do.

    Args:
        status: Of HTTP.
        code: AWS' code of the error.
        message: In words.
        namespace: Of the service's XML.
        request: Id of the request.
    """
    text = (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error><RequestId>{request}</RequestId></ErrorResponse>"
    )
    return Answer(status=status, content=text.encode(), kind="text/xml")
