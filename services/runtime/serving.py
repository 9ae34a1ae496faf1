"""A program that serves beside periodic work of its own, from its command line to the signal that ends it."""

from __future__ import annotations

import argparse
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from services.runtime.https import HttpsServer
from services.runtime.settings import SettingsError
from services.runtime.stopping import wait_for_stop

MISTAKE = 2
"""Exit code for a mistake in the settings: trying again changes nothing."""


class Service(ABC):
    """Serves until asked to stop.

    Attributes:
        server: Its web server; listens since the service was made.
    """

    server: HttpsServer

    def __init__(self) -> None:
        self._stop = threading.Event()

    @abstractmethod
    def begin(self, stop: threading.Event) -> None:
        """Start what it does beside serving, in threads that do not outlive the process; ``stop`` tells them to end."""

    def end(self) -> None:
        """Close the server. What is under way then ends with the process."""
        self.server.stop()

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def run(self) -> None:
        """Serve until stopped."""
        self.server.start()
        self.begin(self._stop)
        wait_for_stop(self._stop)
        self.end()


def main(
    arguments: Sequence[str] | None,
    *,
    program: str,
    description: str,
    make: Callable[[Path], Service],
    log: Callable[[str], None],
) -> int:
    """Run until SIGTERM or SIGINT.

    Args:
        arguments: Of the command line; None: those of the process.
        program: Its name.
        description: What it is for, in one line.
        make: Makes the service from its settings file.
        log: Writes one line for the operator.

    Returns:
        0 once it was stopped, 2 for a mistake in the settings.
    """
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--config", type=Path, required=True, help="settings file, YAML or JSON")
    options = parser.parse_args(arguments)
    try:
        service = make(options.config)
    except SettingsError as error:
        log(str(error))
        return MISTAKE
    except OSError as error:
        log(f"cannot serve with {options.config}: {error}")
        return MISTAKE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    log(f"serving https port {service.server.server_port}")
    service.run()
    log("stopped")
    return 0
