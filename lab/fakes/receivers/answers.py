"""Answers of the HTTP fakes, and what every one of them reads from a request."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LARGEST_BODY = 1024 * 1024
_CHUNK = 64 * 1024
_READ_AT_MOST = 16 * LARGEST_BODY


class TooLargeError(Exception):
    """A request's body is larger than a fake takes."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole HTTP answer."""

    status: HTTPStatus
    content: bytes
    kind: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Answer:
        """Plain text, as it is."""
        return cls(status=status, content=text.encode(), headers=headers)

    @classmethod
    def json(cls, status: HTTPStatus, data: Any) -> Answer:
        """JSON."""
        content = json.dumps(data, ensure_ascii=False).encode()
        return cls(status=status, content=content, kind="application/json")

    @property
    def accepted(self) -> bool:
        """Whether the sender may forget what it sent."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    def send(self, start: StartResponse) -> Iterable[bytes]:
        """Give the answer."""
        length = ("Content-Length", str(len(self.content)))
        start(f"{self.status.value} {self.status.phrase}", [("Content-Type", self.kind), length, *self.headers])
        return [self.content]


def body_of(environ: WSGIEnvironment) -> bytes:
    """The request's body.

    Raises:
        TooLargeError: It has more than `LARGEST_BODY` bytes.
    """
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > LARGEST_BODY:
        # A client that is still sending would see a broken connection instead of the answer.
        for _ in range(min(length, _READ_AT_MOST) // _CHUNK + 1):
            environ["wsgi.input"].read(min(length, _CHUNK))
            length -= min(length, _CHUNK)
        raise TooLargeError
    return bytes(environ["wsgi.input"].read(length)) if length > 0 else b""
