"""Starts the fake and ends it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from lab.fakes.identity.grants import Grants
from lab.fakes.identity.settings import Settings, SettingsError, load, load_accounts
from lab.fakes.identity.tokens import TokenMaker
from lab.fakes.identity.web import application
from services.common.stopping import wait_for_stop
from services.kafka_lag.web import HttpsServer
from services.kafka_lag.web import application as metrics_application


def serve(settings: Settings, stop: threading.Event) -> None:
    """Serve until ``stop`` is set.

    Raises:
        SettingsError: Users and clients cannot be read.
        OSError: The address is taken, or the certificate does not fit its key.
    """
    grants = Grants(load_accounts(settings.accounts_file))
    tokens = TokenMaker(settings.issuer, settings.token_life_s)
    registry = CollectorRegistry()
    app = application(settings.issuer, grants, tokens, registry)
    files = (settings.cert_file, settings.key_file)
    server = HttpsServer(settings.listen_host, settings.listen_port, *files, app)
    own = metrics_application(registry, settings.metrics_user, settings.metrics_password_file, lambda: True)
    metrics = HttpsServer(settings.metrics_host, settings.metrics_port, *files, own)
    for https_server in (server, metrics):
        https_server.start()
    print(f"identity-fake: serving {settings.issuer} on port {server.server_port}", flush=True)
    wait_for_stop(stop)
    for https_server in (server, metrics):
        https_server.shutdown()
        https_server.server_close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fake; returns the exit code."""
    parser = argparse.ArgumentParser(prog="identity-fake", description="Fake of an OpenID Connect provider.")
    parser.add_argument("--config", type=Path, required=True, help="settings file (JSON)")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve(load(parser.parse_args(arguments).config), stop)
    except SettingsError as error:
        print(f"identity-fake: {error}", file=sys.stderr, flush=True)
        return 2
    except OSError as error:
        print(f"identity-fake: cannot serve: {error}", file=sys.stderr, flush=True)
        return 1
    return 0
