"""Starts the double like Grafana, and ends it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from services.common.stopping import wait_for_stop
from services.grafana_double import VERSION, directory_settings, people, settings, sources
from services.grafana_double.accounts import Accounts
from services.grafana_double.audit import Log
from services.grafana_double.dashboards import Dashboards
from services.grafana_double.database import Database, DatabaseAwayError
from services.grafana_double.directory import Directories
from services.grafana_double.entrance import Entrance
from services.grafana_double.exchange import Router
from services.grafana_double.folders import Folders
from services.grafana_double.ini import Ini, SettingsError
from services.grafana_double.login import Logins
from services.grafana_double.metrics import Metrics
from services.grafana_double.permissions import Permissions
from services.grafana_double.preferences import Preferences
from services.grafana_double.proxy import Proxy
from services.grafana_double.queries import Queries
from services.grafana_double.search import Search
from services.grafana_double.server import KeepAliveServer
from services.grafana_double.sessions import Sessions
from services.grafana_double.settings import Settings
from services.grafana_double.source_routes import Sources
from services.grafana_double.sources import Source
from services.grafana_double.teams import Teams
from services.grafana_double.web import Application

_PATIENCE_S: Final = 60.0
_ENDING_S: Final = 10.0


def application(
    read: Settings, directories: Directories | None, found: tuple[Source, ...], database: Database, journal: Log
) -> Application:
    """Put the parts together."""
    metrics = Metrics()
    metrics.watch(database)
    logins = Logins(read.login, database, directories, journal, metrics)
    sessions = Sessions(read.login)
    proxy = Proxy(found, read.proxy_timeout_s, read.proxy_limit, journal, metrics)
    parts = (
        Entrance(database, logins, sessions, journal),
        Accounts(database),
        Preferences(database),
        Teams(database),
        Folders(database),
        Dashboards(database, read.versions_to_keep, read.min_refresh),
        Permissions(database),
        Search(database),
        Sources(found, proxy),
        Queries(found, proxy),
    )
    router = Router([route for part in parts for route in part.routes()])
    return Application(read, router, database, logins, sessions, journal, metrics)


def serve(config: Path, home: Path, environment: Mapping[str, str], stop: threading.Event, journal: Log) -> None:
    """Serve until ``stop`` is set.

    Raises:
        SettingsError: The files hold something that the double does not offer.
        DatabaseAwayError: The database stayed away.
        OSError: The address is taken, or the certificate does not fit its key.
    """
    read = settings.load(Ini(config, environment), home)
    file = read.login.directory_file
    directories = Directories(directory_settings.load(file, environment)) if file else None
    found = sources.load(read.sources, environment)
    sources.check_hosts(found, read.proxy_hosts)
    database = Database(read.database)
    journal.info(
        "settings", "Starting the double of Grafana", version=VERSION, config=str(config), datasources=len(found)
    )

    def waiting(reason: str) -> None:
        journal.warn("sqlstore", "The database cannot be asked yet", reason=reason)

    made = database.migrate(_PATIENCE_S, waiting)
    journal.info("migrator", "Tables are up to date", steps=made)
    try:
        with database.writing() as db:
            if people.ensure_administrator(db, read.login):
                journal.info("sqlstore", "Administrator was made", uname=read.login.admin_user)
        app = application(read, directories, found, database, journal)
        server = KeepAliveServer(read.host, read.port, read.cert_file, read.key_file, app)
        server.start()
        journal.info("http.server", "HTTP Server Listen", address=f"{read.host}:{server.server_port}", protocol="https")
        wait_for_stop(stop)
        journal.info("http.server", "Ending")
        server.end(_ENDING_S)
    finally:
        database.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the double; returns the exit code."""
    parser = argparse.ArgumentParser(prog="grafana", description="Double of Grafana, started like it.")
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
        print(f"grafana-double: {error}", file=sys.stderr, flush=True)
        return 1
    except DatabaseAwayError as error:
        print(f"grafana-double: the database cannot be used: {error}", file=sys.stderr, flush=True)
        return 1
    except OSError as error:
        print(f"grafana-double: cannot serve: {error}", file=sys.stderr, flush=True)
        return 1
    return 0
