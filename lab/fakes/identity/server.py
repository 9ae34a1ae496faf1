"""Starts the fake and ends it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from lab.fakes.identity.grants import Grants
from lab.fakes.identity.settings import Settings, SettingsError, load
from lab.fakes.identity.tokens import TokenMaker
from lab.fakes.identity.web import application
from services.runtime.https import HttpsServer
from services.runtime.periodic import wait_for_stop


def serve(settings: Settings, stop: threading.Event) -> None:
    """Serve until ``stop`` is set.

    Raises:
        OSError: The address is taken, or the certificate does not fit its key.
    """
    tokens = TokenMaker(settings.issuer, settings.token_life_s)
    app = application(settings.issuer, Grants(settings.users, settings.clients), tokens)
    server = HttpsServer(
        settings.host, settings.port, Path(settings.cert_file), Path(settings.key_file), app, program="identity"
    )
    server.start()
    print(f"serving {settings.issuer} on port {server.server_port}", flush=True)
    wait_for_stop(stop)
    server.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fake; returns the exit code."""
    parser = argparse.ArgumentParser(prog="lab.fakes.identity", description="Fake of an OpenID Connect provider.")
    parser.add_argument("--config", type=Path, required=True, help="settings file (JSON)")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve(load(parser.parse_args(arguments).config), stop)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    except OSError as error:
        print(f"error: cannot serve: {error}", file=sys.stderr, flush=True)
        return 1
    return 0
