"""The program: poll the object storage and serve what is there, all behind a password, until asked to stop: the list of
reports and the stored files to people and tools; to Prometheus how old the newest is, when the next is missing, how the
last run ended.

Runs as ``python3 -m services.report_server --config FILE``.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.report_server import KINDS, ReportServerSettings
from services.report_server.poller import Bucket, NotStoredError, ReportPoller, Snapshot, StorageError
from services.runtime import serving
from services.runtime.serving import ScrapeCollector, gauge_by, https_server, operator_log
from services.runtime.settings import Login

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


LIST_PATH = "/reports"
FILES_PATH = "/files/"
INDEX = "index.html"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
}
_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
_PATHS = (LIST_PATH, "/")


class Pages:
    """``/reports`` lists, ``/files/KEY`` gives an object, ``/`` leads to the stored index page."""

    def __init__(
        self,
        reader: Login,
        poller: ReportPoller,
        bucket: Bucket,
        registry: CollectorRegistry,
        log: Callable[[str], None],
    ) -> None:
        self._reader, self._poller, self._bucket, self._log = reader, poller, bucket, log
        self._refused = Counter("report_server_refused", "Requests for reports with a wrong login", registry=registry)

    def application(self, rest: WSGIApplication) -> WSGIApplication:
        """The pages as a WSGI application; ``rest`` answers for every other path."""

        def serve(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path not in _PATHS and not path.startswith(FILES_PATH):
                return rest(environ, start)
            return self._serve(path, environ, start)

        return serve

    def _serve(self, path: str, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _text(start, HTTPStatus.METHOD_NOT_ALLOWED, "only GET", ("Allow", "GET, HEAD"))
        try:
            password = self._reader.password_file.read_text().strip()
        except OSError:
            return _text(start, HTTPStatus.SERVICE_UNAVAILABLE, "the password file cannot be read")
        if not serving.allowed(environ.get("HTTP_AUTHORIZATION", ""), self._reader.user, password):
            self._refused.inc()
            challenge = ("WWW-Authenticate", 'Basic realm="reports"')
            return _text(start, HTTPStatus.UNAUTHORIZED, "user and password, please", challenge)
        if path == LIST_PATH:
            return self._list(start)
        if path == "/":
            return _text(start, HTTPStatus.SEE_OTHER, "see the index", ("Location", FILES_PATH + INDEX))
        return self._file(path[len(FILES_PATH) :], environ, start)

    def _list(self, start: StartResponse) -> Iterable[bytes]:
        snapshot = self._poller.snapshot
        if not snapshot.at:
            return _text(start, HTTPStatus.SERVICE_UNAVAILABLE, "the object storage could not be read yet")
        body = json.dumps(listed(snapshot), ensure_ascii=False, indent=2).encode() + b"\n"
        return _answer(start, HTTPStatus.OK, "application/json", len(body), [body])

    def _file(self, key: str, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        # An object storage on a file system might take ".." for a way out of the bucket.
        if not _KEY.fullmatch(key):
            return _text(start, HTTPStatus.NOT_FOUND, f"no such file; {LIST_PATH} lists them")
        try:
            content = self._bucket.open(key)
        except NotStoredError:
            return _text(start, HTTPStatus.NOT_FOUND, f"no such file; {LIST_PATH} lists them")
        except StorageError as error:
            self._log(str(error))
            return _text(start, HTTPStatus.BAD_GATEWAY, "the object storage does not answer")
        kind = _TYPES.get(key.rpartition(".")[2], "application/octet-stream")
        if environ.get("REQUEST_METHOD") == "HEAD":
            content.chunks.close()
            return _answer(start, HTTPStatus.OK, kind, content.size, [])
        return _answer(start, HTTPStatus.OK, kind, content.size, self._told(content.chunks))

    def _told(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """A file that breaks off is shorter than it said, so the reader notices; here it is one line."""
        try:
            yield from chunks
        except StorageError as error:
            self._log(str(error))


def listed(snapshot: Snapshot) -> dict[str, Any]:
    """What ``/reports`` says: every report with its files, the newest first, and the last run of each kind."""
    return {
        "read_at": _time(snapshot.at),
        "reports": [
            {
                "kind": report.kind,
                "period": report.period,
                "period_end": _time(report.end),
                "written_at": _time(report.written),
                "files": [{"path": FILES_PATH + file.key, "bytes": file.size} for file in report.files],
            }
            for report in snapshot.reports
        ],
        "runs": {
            kind: {"ended_at": _time(run.ended), "failed": run.failed, "period": run.period, "problem": run.problem}
            for kind, run in snapshot.runs.items()
        },
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _text(start: StartResponse, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Iterable[bytes]:
    body = f"{text}\n".encode()
    return _answer(start, status, "text/plain; charset=utf-8", len(body), [body], *headers)


def _answer(
    start: StartResponse,
    status: HTTPStatus,
    content_type: str,
    size: int,
    body: Iterable[bytes],
    *headers: tuple[str, str],
) -> Iterable[bytes]:
    start(
        f"{status.value} {status.phrase}",
        [("Content-Type", content_type), ("Content-Length", str(size)), *_HEADERS, *headers],
    )
    return body


class ReportCollector(ScrapeCollector):
    """Reads the poller at each scrape."""

    def __init__(self, poller: ReportPoller, most_age_h: Mapping[str, float], registry: CollectorRegistry) -> None:
        self._poller, self._most_age_h = poller, most_age_h
        super().__init__(registry)

    def collect(self) -> Iterator[Metric]:
        """The metrics of the last poll; nothing about reports before the first one that succeeded."""
        snapshot = self._poller.snapshot
        yield GaugeMetricFamily(
            "report_server_read_timestamp_seconds",
            "When the object storage was last read; before the first time: when the report server began",
            value=snapshot.at or self._poller.began,
        )
        yield CounterMetricFamily(
            "report_server_read_failures", "Polls of the object storage that failed", value=self._poller.failures
        )
        if snapshot.at:
            yield from _reports(snapshot, self._most_age_h)


def _reports(snapshot: Snapshot, most_age_h: Mapping[str, float]) -> Iterator[Metric]:
    newest = {kind: report for kind in KINDS if (report := snapshot.newest(kind))}
    yield gauge_by(
        "kind",
        "report_stored",
        "Reports in the object storage",
        {kind: sum(report.kind == kind for report in snapshot.reports) for kind in KINDS},
    )
    yield gauge_by(
        "kind",
        "report_newest_timestamp_seconds",
        "When the report of the latest period was written; missing where there is none",
        {kind: report.written for kind, report in newest.items()},
    )
    yield gauge_by(
        "kind",
        "report_newest_period_end_timestamp_seconds",
        "End of the latest period that has a report",
        {kind: report.end for kind, report in newest.items()},
    )
    yield gauge_by(
        "kind",
        "report_due_timestamp_seconds",
        "When the next report is missing",
        {kind: snapshot.due(kind, most_age_h[kind]) for kind in KINDS},
    )
    yield gauge_by(
        "kind",
        "report_last_run_failed",
        "Whether the last run about a period ended without a report that is stored and sent; missing where none ran",
        {kind: float(run.failed) for kind, run in snapshot.runs.items()},
    )
    yield gauge_by(
        "kind",
        "report_last_run_timestamp_seconds",
        "When the last run ended; of a kind with one that failed, when that ended",
        {kind: run.ended for kind, run in snapshot.runs.items()},
    )


log = operator_log("report-server")


class Service(serving.Service):
    """Polls, pages, metrics and probes behind one port."""

    def __init__(self, settings: ReportServerSettings) -> None:
        """Listen as ``settings`` say.

        Raises:
            OSError: The address is taken, or the certificate does not fit its key.
        """
        super().__init__()
        bucket = Bucket(settings.storage.place)
        self._poller = ReportPoller(settings, bucket, log)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        ReportCollector(self._poller, settings.most_age_h.model_dump(), registry)
        pages = Pages(settings.reader, self._poller, bucket, registry, log)
        self.server = https_server(
            settings,
            registry,
            self._poller.alive,
            self._poller.polled,
            program="report-server",
            pages=pages.application,
        )

    def begin(self, stop: threading.Event) -> None:
        """Poll the storage."""
        threading.Thread(target=self._poller.run, args=(stop,), daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns 0 then, 2 for a mistake in the settings."""
    return serving.main(
        arguments,
        program="report-server",
        description="Stored reports, for people and Prometheus.",
        make=lambda file: Service(ReportServerSettings.load(file)),
        log=log,
    )


if __name__ == "__main__":
    sys.exit(main())
