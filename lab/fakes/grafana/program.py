"""Starts the fake like Grafana, and ends it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from lab.fakes.grafana import VERSION, directory, settings, sources, users
from lab.fakes.grafana.accounts import Accounts, Preferences, Teams
from lab.fakes.grafana.dashboards import Dashboards, Search
from lab.fakes.grafana.database import Database, DatabaseAwayError
from lab.fakes.grafana.directory import Directories
from lab.fakes.grafana.exchange import Router
from lab.fakes.grafana.folders import Folders
from lab.fakes.grafana.login import Authenticator, LoginRoutes
from lab.fakes.grafana.permissions import Permissions
from lab.fakes.grafana.proxy import Proxy, Sources
from lab.fakes.grafana.queries import Queries
from lab.fakes.grafana.settings import Ini, Settings, SettingsError
from lab.fakes.grafana.sources import Source
from lab.fakes.grafana.telemetry import Log, Metrics
from lab.fakes.grafana.users import Sessions
from lab.fakes.grafana.web import Application
from services.runtime.https import HttpsServer, Limits
from services.runtime.periodic import wait_for_stop

_PATIENCE_S: Final = 60.0
_ENDING_S: Final = 10.0
_LIMITS = Limits(
    connections=400,
    threads=64,
    header_bytes=64 * 1024,
    idle_s=60.0,
    read_s=60.0,
    keep_alive=True,
)


def application(
    read: Settings,
    directories: Directories | None,
    configured_sources: tuple[Source, ...],
    database: Database,
    journal: Log,
) -> Application:
    """Put the parts together."""
    metrics = Metrics()
    metrics.watch(database)
    authenticator = Authenticator(read.login, database, directories, journal, metrics)
    sessions = Sessions(read.login)
    proxy = Proxy(configured_sources, read.proxy_timeout_s, read.proxy_limit, journal, metrics)
    parts = (
        LoginRoutes(database, authenticator, sessions, journal),
        Accounts(database),
        Preferences(database),
        Teams(database),
        Folders(database),
        Dashboards(database, read.versions_to_keep, read.min_refresh),
        Permissions(database),
        Search(database),
        Sources(configured_sources, proxy),
        Queries(configured_sources, proxy),
    )
    router = Router([route for part in parts for route in part.routes()])
    return Application(read, router, database, authenticator, sessions, journal, metrics)


def serve(config: Path, home: Path, environment: Mapping[str, str], stop: threading.Event, journal: Log) -> None:
    """Serve until ``stop`` is set.

    Raises:
        SettingsError: The files hold something that the fake does not offer.
        DatabaseAwayError: The database stayed away.
        OSError: The address is taken, or the certificate does not fit its key.
    """
    read = settings.load(Ini(config, environment), home)
    file = read.login.directory_file
    directories = Directories(directory.load(file, environment)) if file else None
    configured_sources = sources.load(read.sources, environment)
    sources.check_hosts(configured_sources, read.proxy_hosts)
    database = Database(read.database)
    journal.info(
        "settings",
        "Starting the fake of Grafana",
        version=VERSION,
        config=str(config),
        datasources=len(configured_sources),
    )

    def waiting(reason: str) -> None:
        journal.warn("sqlstore", "The database cannot be asked yet", reason=reason)

    steps = database.migrate(_PATIENCE_S, waiting)
    journal.info("migrator", "Tables are up to date", steps=steps)
    try:
        with database.writing() as db:
            if users.ensure_administrator(db, read.login):
                journal.info("sqlstore", "Administrator was made", uname=read.login.admin_user)
        app = application(read, directories, configured_sources, database, journal)
        server = HttpsServer(
            read.host, read.port, read.cert_file, read.key_file, app, program="grafana-fake", limits=_LIMITS
        )
        server.start()
        journal.info("http.server", "HTTP Server Listen", address=f"{read.host}:{server.server_port}", protocol="https")
        wait_for_stop(stop)
        journal.info("http.server", "Ending")
        server.stop(_ENDING_S)
    finally:
        database.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fake; returns the exit code."""
    parser = argparse.ArgumentParser(prog="grafana", description="Fake of Grafana, started like it.")
    parser.add_argument("command", choices=["server"])
    parser.add_argument("--homepath", "-homepath", type=Path, default=Path("/usr/share/grafana"))
    parser.add_argument("--config", "-config", type=Path, required=True)
    given = parser.parse_args(arguments)
    stop, journal = threading.Event(), Log()
    journal.take_libraries()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve(given.config, given.homepath, os.environ, stop, journal)
    except SettingsError as error:
        print(f"grafana-fake: {error}", file=sys.stderr, flush=True)
        return 1
    except DatabaseAwayError as error:
        print(f"grafana-fake: the database cannot be used: {error}", file=sys.stderr, flush=True)
        return 1
    except OSError as error:
        print(f"grafana-fake: cannot serve: {error}", file=sys.stderr, flush=True)
        return 1
    return 0
