"""The one exception that a user of ``ops`` sees, the shortening of everybody else's, and which server a thread waits
for, so that who gives up on the thread can name it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OpsError(Exception):
    """Something the user can act on; printed as one line, without a traceback."""


def one_line(error: object, limit: int = 240) -> str:
    """Text of ``error`` on one line of at most ``limit`` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def innermost(error: BaseException) -> BaseException:
    """The first of the errors that led to this one, which is the one that says something."""
    while (inner := error.__cause__ or error.__context__) is not None and inner is not error:
        error = inner
    return error


_SERVERS: dict[int, Callable[[], str]] = {}


@contextmanager
def waiting_for(server: Callable[[], str]) -> Iterator[None]:
    """Note that this thread waits for a server until the block ends.

    Args:
        server: Gives its name and address; called only when somebody gives up.
    """
    thread = threading.get_ident()
    before = _SERVERS.get(thread)
    _SERVERS[thread] = server
    try:
        yield
    finally:
        if before is None:
            _SERVERS.pop(thread, None)
        else:
            _SERVERS[thread] = before


def waits_of(thread: int | None = None) -> str:
    """``, waiting for NAME (ADDRESS)`` of one thread, or of all together; empty where there is no such wait."""
    noted = [_SERVERS.get(thread)] if thread is not None else list(_SERVERS.values())
    servers = dict.fromkeys(server() for server in noted if server is not None)
    return f", waiting for {', '.join(servers)}" if servers else ""
