"""A real browser without a window: it opens pages of this machine and tells what it saw.

It is spoken to by its own protocol (Chrome DevTools) through two pipes, so there is no port and no further library.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import selectors
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PACKAGE = "chromium"
"""Debian's package of it; its smaller sibling ``chromium-headless-shell`` will do too."""
_PROGRAMS = ("chromium", "chromium-headless-shell")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Whatever a page asks for by name, nothing is found.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
_ANSWER_S, _LOAD_S, _END_S, _LOOK_S = 60.0, 30.0, 10.0, 0.02
_TALLEST = 16_000
"""Pixels; a browser draws no taller picture."""
_ABOVE = 20
"""File descriptors below are the program's own: it takes 3 and 4 for its pipes."""

Message = dict[str, Any]


class BrowserError(Exception):
    """The browser is not there, has ended, or does not answer."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What was seen of one page.

    Attributes:
        found: What the script of the caller told.
        errors: Errors of its console, and of what it ran.
        requests: Addresses that it asked for, itself left out.
        load_s: Seconds until it was loaded.
        picture: PNG of the whole page.
    """

    measured: Any
    errors: tuple[str, ...]
    requests: tuple[str, ...]
    load_s: float
    picture: bytes


def program() -> str:
    """Path of the browser.

    Raises:
        BrowserError: There is none.
    """
    for name in _PROGRAMS:
        if path := shutil.which(name):
            return path
    raise BrowserError(f"{' or '.join(_PROGRAMS)} is not there: `make tools` installs the Debian package {PACKAGE}")


class Browser:
    """One browser with an empty profile; it ends with the block.

    Args:
        folder: Empty folder for its profile and its log.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "browser.log"
        reading, self._out = _pipe()
        self._in, writing = _pipe()
        # Redirections of a shell put both ends where the program looks for them.
        script = f'exec "$@" 3<&{reading} 4>&{writing} {reading}<&- {writing}>&-'
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [
                        "bash",
                        "-c",
                        script,
                        "bash",
                        program(),
                        *_FLAGS,
                        f"--user-data-dir={folder / 'profile'}",
                        "about:blank",
                    ],
                    pass_fds=(reading, writing),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "HOME": str(folder)},
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._out)
            os.close(self._in)
            raise
        finally:
            os.close(reading)
            os.close(writing)
        os.set_blocking(self._in, False)
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(self._in, selectors.EVENT_READ)
        self._buffer, self._number = b"", 0
        self._events: list[Message] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(BrowserError):
            self._call("Browser.close")
        os.close(self._out)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        # Helpers of the browser, and itself when it did not end.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_END_S)
        self._waiting.close()
        os.close(self._in)

    def inspect(self, page: Path, width: int, script: str) -> Sight:
        """Open a page, wait until it is loaded, run a script in it and take its picture.

        Args:
            page: HTML file.
            width: Of the window, in pixels.
            script: Expression of JavaScript whose value can be written as JSON.

        Raises:
            BrowserError: The page cannot be opened, or the script fails.
        """
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        try:
            return self._inspect(session, page.resolve().as_uri(), width, script)
        finally:
            self._call("Target.closeTarget", targetId=target)

    def _inspect(self, session: str, address: str, width: int, script: str) -> Sight:
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable", session)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", session, **size)
        self._events, began = [], time.monotonic()
        opened = self._call("Page.navigate", session, url=address)
        if opened.get("errorText"):
            raise BrowserError(f"{address} cannot be opened: {opened['errorText']}")
        self._loaded(session, address)
        load_s = time.monotonic() - began
        told = self._call("Runtime.evaluate", session, expression=script, returnByValue=True)
        if "exceptionDetails" in told:
            raise BrowserError(f"the script fails in {address}: {_exception(told['exceptionDetails'])}")
        area = self._call("Page.getLayoutMetrics", session)["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": area["width"], "height": min(area["height"], _TALLEST), "scale": 1}
        shot = self._call("Page.captureScreenshot", session, format="png", captureBeyondViewport=True, clip=clip)
        return Sight(
            measured=told["result"].get("value"),
            errors=tuple(_errors(self._events)),
            requests=tuple(_requests(self._events, address)),
            load_s=load_s,
            picture=base64.b64decode(shot["data"]),
        )

    def _call(self, method: str, session: str | None = None, **values: Any) -> Message:
        self._number += 1
        number = self._number
        message: Message = {"id": number, "method": method, "params": values}
        if session is not None:
            message["sessionId"] = session
        try:
            self._send(json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise BrowserError(f"{method}: the browser has ended ({error}); {self._said()}") from None
        deadline = time.monotonic() + _ANSWER_S
        while True:
            answer = self._next(deadline, f"{method} is not answered")
            if answer.get("id") != number:
                continue
            if "error" in answer:
                raise BrowserError(f"{method}: {answer['error'].get('message')}")
            result: Message = answer["result"]
            return result

    def _send(self, content: bytes) -> None:
        while content:
            content = content[os.write(self._out, content) :]

    def _loaded(self, session: str, address: str) -> None:
        """Wait until the page is there, with all that belongs to it."""
        deadline, state = time.monotonic() + _LOAD_S, "document.readyState + ' ' + location.href"
        while time.monotonic() < deadline:
            told = self._call("Runtime.evaluate", session, expression=state, returnByValue=True)
            if told["result"].get("value") == f"complete {address}":
                return
            time.sleep(_LOOK_S)
        raise BrowserError(f"{address} is not loaded within {_LOAD_S:g} s; {self._said()}")

    def _next(self, deadline: float, problem: str) -> Message:
        """The next message; events are kept."""
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not self._waiting.select(left):
                raise BrowserError(f"{problem}; {self._said()}")
            read = os.read(self._in, 1 << 20)
            if not read:
                raise BrowserError(f"{problem}: the browser has ended; {self._said()}")
            self._buffer += read
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: Message = json.loads(text)
        if "method" in message:
            self._events.append(message)
        return message

    def _said(self) -> str:
        return f"its log ends with: {self._log.read_text(errors='replace')[-400:].strip()!r}"


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are none of the numbers that the browser takes."""
    ends = os.pipe()
    try:
        reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for end in ends)
        return reading, writing
    finally:
        for end in ends:
            os.close(end)


def _errors(events: list[Message]) -> list[str]:
    exceptions = []
    for event in events:
        values = event.get("params", {})
        match event["method"]:
            case "Runtime.exceptionThrown":
                exceptions.append(_exception(values["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if values["type"] in ("error", "assert"):
                exceptions.append(" ".join(str(arg.get("value", arg.get("description"))) for arg in values["args"]))
            case "Log.entryAdded" if values["entry"]["level"] == "error":
                exceptions.append(values["entry"]["text"])
    return exceptions


def _exception(details: Message) -> str:
    return str(details.get("exception", {}).get("description") or details.get("text"))


def _requests(events: list[Message], address: str) -> list[str]:
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in urls if url != address and not url.startswith("data:")]
