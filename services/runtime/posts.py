"""A post that is read within limits: how long it may take, how much is held at once, how it is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_ROOM_S = 0.5
_BODY_S = 5.0
_DISCARD_S = 1.0
_MOST_DISCARDED = 1024 * 1024
_CHUNK = 64 * 1024
_MOST_DIGITS = 15


class RefusedError(Exception):
    """Why a request is refused, with the answer to it; without a ``reason`` it is not counted."""

    def __init__(self, status: HTTPStatus, reason: str, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.status, self.reason, self.headers = status, reason, headers


def later(reason: str, text: str) -> RefusedError:
    """A refusal that asks the sender to come again."""
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, reason, text, ("Retry-After", "1"))


class Incoming:
    """A request, and what of its body has not been read yet.

    Attributes:
        known: Whether its sender has logged in.
        sized: Whether it says how long it is.
        left: Bytes of the body that nobody has read.
    """

    def __init__(self, environ: WSGIEnvironment, most_bytes: int) -> None:
        """Take a request whose body may have ``most_bytes``."""
        self.method = str(environ.get("REQUEST_METHOD", ""))
        self.address = str(environ.get("REMOTE_ADDR", ""))
        self.authorization = str(environ.get("HTTP_AUTHORIZATION", ""))
        length = str(environ.get("CONTENT_LENGTH") or "")
        self.sized = length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS
        self.left = int(length) if self.sized else 0
        self.known = False
        self._most_bytes = most_bytes
        self._stream: Any = environ["wsgi.input"]

    def check_size(self) -> None:
        """Refuse a post that does not say how long it is, or is too long; nothing of its body is read before.

        Raises:
            RefusedError: It is one.
        """
        if not self.sized:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "content", "the post does not say how long it is")
        if self.left > self._most_bytes:
            text = f"the post is larger than {self._most_bytes} bytes"
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "size", text)

    def body(self) -> bytes:
        """The whole body.

        Raises:
            RefusedError: It is cut off or does not come in time.
        """
        parts = list(self._parts(_BODY_S))
        if self.left:
            raise later("cut", "the post ended early or took too long")
        return b"".join(parts)

    def discard(self) -> None:
        """Read what is left, within limits: to hang up on it would hide our answer from its sender."""
        self.left = min(self.left, 4 * self._most_bytes if self.known else _MOST_DISCARDED)
        for _ in self._parts(_DISCARD_S):
            pass
        self.left = 0

    def _parts(self, seconds: float) -> Iterator[bytes]:
        deadline = time.monotonic() + seconds
        while self.left and time.monotonic() < deadline:
            try:
                part: bytes = self._stream.read1(min(self.left, _CHUNK))
            except OSError:
                return
            if not part:
                return
            self.left -= len(part)
            yield part


class Room:
    """Room for the bodies that are held at the same time."""

    def __init__(self, most_bytes: int) -> None:
        """Room for so many bytes, in all."""
        self._free = most_bytes
        self._changed = threading.Condition()

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Hold so many bytes.

        Raises:
            RefusedError: Others hold them for too long.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= size, _ROOM_S):
                raise later("busy", "other posts are still being written")
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


def answer(start: StartResponse, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Iterable[bytes]:
    """An answer in one line."""
    body = f"{text}\n".encode()
    kind = ("Content-Type", "text/plain; charset=utf-8")
    start(f"{status.value} {status.phrase}", [kind, ("Content-Length", str(len(body))), *headers])
    return [body]
