"""The log: one JSON object a line on standard output, with Grafana's names. Never a password, a token or a query."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Write = Callable[[str], None]


def _out(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


class _Library(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.error(record.name, " ".join(record.getMessage().split())[:300])


class Log:
    """Writes lines, whole, from any thread."""

    def __init__(self, write: Write = _out) -> None:
        """Write by ``write``."""
        self._write, self._lock = write, threading.Lock()

    def line(self, level: str, logger: str, message: str, **fields: Any) -> None:
        """Write one line.

        Args:
            level: ``info``, ``warn`` or ``error``.
            logger: Which part tells.
            message: What happened.
            **fields: Further fields.
        """
        entry = {
            "logger": logger,
            "level": level,
            "t": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "msg": message,
            **fields,
        }
        text = json.dumps(entry, ensure_ascii=False, default=str) + "\n"
        with self._lock:
            self._write(text)

    def take_libraries(self) -> None:
        """Write what libraries call an error as well; what they only warn of is told here by its effect."""
        logging.basicConfig(handlers=[_Library(self)], level=logging.ERROR, force=True)

    def info(self, logger: str, message: str, **fields: Any) -> None:
        """Write news."""
        self.line("info", logger, message, **fields)

    def warn(self, logger: str, message: str, **fields: Any) -> None:
        """Write what somebody should look at."""
        self.line("warn", logger, message, **fields)

    def error(self, logger: str, message: str, **fields: Any) -> None:
        """Write what went wrong."""
        self.line("error", logger, message, **fields)
