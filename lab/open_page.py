"""A page of the lab's platform for a browser of the machine.

`ops open` runs inside the lab's network namespace, which no browser is in; what comes to the same port of the machine's
own loopback is relayed to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum

from lab import LabError, environment
from lab.cluster import network
from lab.paths import LabPaths

LOOPBACK = "127.0.0.1"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CONNECTIONS = 256
_READ_BYTES = 64 * 1024


class Page(StrEnum):
    """A page that has a login without the identity provider, which is inside the namespace too."""

    GRAFANA = "grafana"
    METRICS = "metrics"
    ALERTS = "alerts"


def open_page(paths: LabPaths, page: Page, minutes: float) -> int:
    """Open it until Ctrl-C, or until the time is over.

    Args:
        paths: The lab.
        page: Which.
        minutes: How long at most.

    Returns:
        Exit code of `ops open`.

    Raises:
        LabError: The machine gives no port.
    """
    with listen() as listener:
        port = listener.getsockname()[1]
        options = ["--port", str(port), "--minutes", f"{minutes:g}", *([] if page is Page.GRAFANA else ["--direct"])]
        command = [sys.executable, "-m", "ops", "open", page, *options]
        # The listener stays where it was made; what is connected from here on is inside.
        network.join(paths.netns)
        return asyncio.run(relay(listener, port, command, environment.variables(paths)))


def listen() -> socket.socket:
    """A listener at a free port of loopback, in the network namespace of the caller."""
    try:
        return socket.create_server((LOOPBACK, 0))
    except OSError as error:
        raise LabError(f"no port of {LOOPBACK} for the page: {error.strerror}") from None


async def relay(listener: socket.socket, port: int, command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command, and until it ends relay what comes to a listener to a port of the caller's loopback.

    Args:
        listener: Where connections come from; at most 256 at once, the next ones are closed.
        port: Where they go to.
        command: Program and arguments; a signal that asks to end goes to it, once.
        variables: Its environment.

    Returns:
        Its exit code.
    """
    open_lines: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(open_lines) >= _CONNECTIONS:
            writer.close()
            return
        line = asyncio.create_task(_line(reader, writer, port))
        open_lines.add(line)
        line.add_done_callback(open_lines.discard)

    process = await asyncio.create_subprocess_exec(*command, env=dict(variables), start_new_session=True)

    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)

    for number in _ENDING:
        asyncio.get_running_loop().add_signal_handler(number, end)
    async with await asyncio.start_server(accept, sock=listener):
        code = await process.wait()
    for line in open_lines:
        line.cancel()
    return code


async def _line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    with contextlib.closing(writer), contextlib.suppress(OSError):
        inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, port)
        with contextlib.closing(inner_writer):
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(_READ_BYTES):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
