"""What the fake tells of itself: its metrics under Grafana's names, and its log, one JSON object a line, never with a
password, a token or a query.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from lab.fakes.grafana import VERSION
from lab.fakes.grafana.database import Database, DatabaseAwayError

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CODES: Final = (200, 404, 500)
_STATS: Final = """
    SELECT (SELECT count(*) FROM dashboards) AS dashboards, (SELECT count(*) FROM folders) AS folders,
           (SELECT count(*) FROM users) AS users,
           (SELECT count(*) FROM users WHERE seen > now() - interval '30 days') AS active
"""


class Metrics:
    """Counts requests, logins and what data sources answer."""

    def __init__(self) -> None:
        """Count from zero."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ("handler", "method", "status_code", "status_source", "slo_group")
        self._seconds = Histogram(
            "grafana_http_request_duration_seconds",
            "Time of a request",
            labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._in_flight = Gauge("grafana_http_request_in_flight", "Requests at this moment", registry=self.registry)
        self._statuses = {
            kind: Counter(f"grafana_{kind}_response_status", "Answers by status", ("code",), registry=self.registry)
            for kind in ("api", "page", "proxy")
        }
        self._failed = Counter(
            "grafana_authn_authn_failed_login", "Logins refused", ("client",), registry=self.registry
        )
        self._accepted = Counter(
            "grafana_authn_authn_successful_login", "Logins accepted", ("client",), registry=self.registry
        )
        source = ("datasource", "datasource_type", "code", "method")
        self._source_requests = Counter(
            "grafana_datasource_request",
            "Answers of data sources",
            (*source, "secure_socks_ds_proxy_enabled"),
            registry=self.registry,
        )
        self._source_seconds = Histogram(
            "grafana_datasource_request_duration_seconds",
            "Time until a data source answered",
            source,
            buckets=(*_BUCKETS, 10.0, 30.0),
            registry=self.registry,
        )
        build = Gauge(
            "grafana_build_info",
            "Version",
            ("version", "revision", "branch", "goversion", "edition"),
            registry=self.registry,
        )
        build.labels(VERSION, "fake", "fake", "none", "fake").set(1)
        for client in ("auth.client.form", "auth.client.basic"):
            self._failed.labels(client)
            self._accepted.labels(client)
        for kind in self._statuses.values():
            for code in (*_CODES, "unknown"):
                kind.labels(str(code))

    def watch(self, database: Database) -> None:
        """Tell about the database as well."""
        self.registry.register(_Stored(database))

    def begin(self) -> None:
        """A request came."""
        self._in_flight.inc()

    def end(self, handler: str, method: str, status: int, seconds: float) -> None:
        """It is answered."""
        self._in_flight.dec()
        source = "server" if status >= 500 else "downstream" if "/proxy/" in handler and status >= 400 else "server"
        self._seconds.labels(handler, method, str(status), source, "none").observe(seconds)
        kind = "proxy" if "/proxy/" in handler else "api" if handler.startswith("/api") else "page"
        self._statuses[kind].labels(str(status) if status in _CODES else "unknown").inc()

    def login(self, client: str) -> None:
        """Somebody came in."""
        self._accepted.labels(client).inc()

    def failed_login(self, client: str) -> None:
        """Somebody did not."""
        self._failed.labels(client).inc()

    def answer(self, name: str, kind: str, code: int, method: str, seconds: float) -> None:
        """A data source answered."""
        self._source_requests.labels(name, kind, str(code), method.lower(), "false").inc()
        self._source_seconds.labels(name, kind, str(code), method.lower()).observe(seconds)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class _Stored:
    """Figures of the database, read when somebody asks for the metrics."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        figures = self._database.figures()
        for name in ("max_open", "open", "in_use", "idle"):
            yield GaugeMetricFamily(f"grafana_database_conn_{name}", "Connections to the database", value=figures[name])
        yield CounterMetricFamily(
            "grafana_database_conn_wait_count", "Requests that waited for a connection", value=figures["waited"]
        )
        yield _untotalled(
            "grafana_database_conn_wait_duration_seconds", "Time waited for a connection", figures["waited_ms"] / 1000
        )
        try:
            with self._database.reading(1.0) as db:
                row = db.execute(_STATS).fetchone()
        except DatabaseAwayError:
            return
        names = {
            "grafana_stat_totals_dashboard": "dashboards",
            "grafana_stat_totals_folder": "folders",
            "grafana_stat_total_users": "users",
            "grafana_stat_active_users": "active",
        }
        for name, column in names.items():
            yield GaugeMetricFamily(name, "Things in the database", value=row[column] if row else 0)


def _untotalled(name: str, text: str, value: float) -> Metric:
    # Grafana's counter of that name has no _total at its end, which this library gives every counter.
    metric = Metric(name, text, "unknown")
    metric.add_sample(name, {}, value)
    return metric


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
