"""``ops logs``: log records of a trace, a service, a level or a text, newest last."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ops.core import platform as platform_module
from ops.core import web
from ops.core.context import Context
from ops.core.errors import OpsError, one_line
from ops.core.kube import Kube
from ops.core.prometheus_text import seconds_of_option
from ops.core.terminal import Table
from ops.core.web import Web

SEARCH = "search"
SEARCH_PORT = 9200
READ_ALIAS = "logs-read"
LEVELS = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
"""Level -> lowest severity number of OpenTelemetry that belongs to it."""

_TRACE_ID_LENGTH = 32
_SHOWN = 300
_STYLES = {"ERROR": "red", "FATAL": "bold red", "WARN": "yellow"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which logs; what is None or empty does not matter.

    Attributes:
        trace: Trace id.
        service: Name of the service.
        level: Lowest level.
        text: Words that have to be in the text.
        origin: Attributes of the resource, ``key=value`` each, that it has to have.
        since_s: Seconds back from now.
    """

    trace: str = ""
    service: str = ""
    level: str = ""
    text: str = ""
    origin: tuple[str, ...] = ()
    since_s: int = 900


@dataclass(frozen=True, kw_only=True)
class Row:
    """One log record."""

    time: str
    severity: str
    layer: str
    service: str
    trace: str
    text: str
    id: str


def of_origin(key: str, value: str) -> dict[str, Any]:
    """The search for records whose resource has an attribute, in every index of logs.

    Indices that were begun before logs had ``origin`` are searched by the attribute's own field (ADR 72).
    """
    forms = [{"term": {"origin": f"{key}={value}"}}, {"term": {f"resource.{key}": value}}]
    return {"bool": {"should": forms, "minimum_should_match": 1}}


def query(wanted: Wanted, now: float) -> dict[str, Any]:
    """The search that finds them.

    Raises:
        OpsError: A level, a trace id or an attribute that cannot be.
    """
    oldest = datetime.fromtimestamp(now - wanted.since_s, UTC).isoformat(timespec="milliseconds")
    filters: list[dict[str, Any]] = [{"range": {"@timestamp": {"gte": oldest}}}]
    if wanted.trace:
        trace = wanted.trace.lower()
        if len(trace) > _TRACE_ID_LENGTH or set(trace) - set("0123456789abcdef"):
            raise OpsError(f"--trace is {wanted.trace!r}, must be a trace id: up to 32 hexadecimal digits")
        filters.append({"term": {"trace_id": trace.rjust(_TRACE_ID_LENGTH, "0")}})
    if wanted.service:
        filters.append({"term": {"service": wanted.service}})
    if wanted.level:
        if wanted.level not in LEVELS:
            raise OpsError(f"--level is {wanted.level!r}, must be one of {', '.join(LEVELS)}")
        filters.append({"range": {"severity_number": {"gte": LEVELS[wanted.level]}}})
    for attribute in wanted.origin:
        key, sign, value = attribute.partition("=")
        if not key or not sign:
            raise OpsError(f"--origin is {attribute!r}, must be KEY=VALUE, an attribute of the resource")
        filters.append(of_origin(key, value))
    words = [{"match": {"body": {"query": wanted.text, "operator": "and"}}}] if wanted.text else []
    return {"bool": {"filter": filters, "must": words}}


class LogReader:
    """Reads logs as the user ``log-reader``."""

    def __init__(self, web: Web, url: str, auth: tuple[str, str]) -> None:
        self._web, self._url, self._auth = web, url, auth

    def rows(self, wanted: Wanted, limit: int, now: float | None = None) -> list[Row]:
        """The newest ``limit`` logs, oldest first.

        Raises:
            OpsError: The search cluster refuses, or does not answer.
        """
        body = {
            "query": query(wanted, time.time() if now is None else now),
            "sort": [{"@timestamp": "desc"}],
            "size": limit,
        }
        try:
            hits = self.search(body)["hits"]
        except (KeyError, TypeError):
            raise web.unexpected() from None
        return distinct(_row(hit) for hit in reversed(hits))

    def search(self, body: Mapping[str, Any]) -> Any:
        """What a search of all logs answers under ``hits``.

        Raises:
            OpsError: The search cluster refuses, or does not answer.
        """
        answer = web.ask(self._web, f"{self._url}/{READ_ALIAS}/_search", self._auth, body)
        if "hits" not in answer:
            raise web.unexpected()
        return answer["hits"]


def distinct(rows: Iterable[Row]) -> list[Row]:
    """Rows without repetitions: a log that was written again after a new index was begun is in both."""
    return list({row.id: row for row in rows}.values())


def _row(hit: Mapping[str, Any]) -> Row:
    source = hit["_source"]
    attributes = source.get("attributes") or {}
    notes = " ".join(f"{key}={value}" for key, value in attributes.items())
    text = " | ".join(part for part in (str(source.get("body", "")), notes) if part)
    return Row(
        id=str(hit["_id"]),
        time=str(source.get("@timestamp", ""))[:23],
        severity=str(source.get("severity") or source.get("severity_number") or ""),
        layer=str(source.get("layer", "")),
        service=str(source.get("service", "")),
        trace=str(source.get("trace_id", "")),
        text=text,
    )


def table(rows: Iterable[Row]) -> Table:
    """Rows for people; texts are cut, and brackets in them are no markup."""
    table = Table("time (UTC)", "level", "service", "trace", "text")
    for row in rows:
        level = Text(row.severity, style=_STYLES.get(row.severity.upper(), ""))
        table.add_row(row.time, level, Text(row.service), row.trace[:8], Text(one_line(row.text, _SHOWN)))
    return table


def logs(
    trace: Annotated[str, typer.Option(help="Logs of this trace.")] = "",
    service: Annotated[str, typer.Option(help="Logs of this service.")] = "",
    level: Annotated[str, typer.Option(help=f"Lowest level: {', '.join(LEVELS)}.")] = "",
    text: Annotated[str, typer.Option(help="All of these words are in the text.")] = "",
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="An attribute that the resource has, e.g. host.name=streaming-1; again for more."
        ),
    ] = None,
    since: Annotated[str, typer.Option(help="How far back, e.g. 15m.")] = "15m",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most rows.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print rows for machines.")] = False,
) -> None:
    """Show log records, newest last. Exit code 1 when there is none."""
    wanted = Wanted(
        trace=trace,
        service=service,
        level=level,
        text=text,
        origin=tuple(origin or ()),
        since_s=seconds_of_option("--since", since),
    )
    query(wanted, 0.0)
    platform = platform_module.load()
    login = platform.log_reader
    if login is None:
        raise OpsError("the stack has no reader of logs: bring up a version of the platform that has the log indexer")
    with Context(platform, Kube.of(platform)) as context:
        url = context.tunnels.url(context.kube.ready_pod(SEARCH).name, SEARCH_PORT)
        rows = LogReader(context.web, url, login.pair).rows(wanted, limit)
    if as_json:
        typer.echo(json.dumps({"logs": [vars(row) for row in rows]}, indent=2, ensure_ascii=False))
    elif rows:
        Console().print(table(rows))
    else:
        typer.echo(f"no such log in the last {since}", err=True)
    raise typer.Exit(0 if rows else 1)
