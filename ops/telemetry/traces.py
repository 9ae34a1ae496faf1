"""``ops trace``: one trace, or the newest of a service, as trees of spans, from Jaeger's API behind its login."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlparse

import requests
import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from components.telemetry.attributes import ATTRIBUTE, CLASSES, DEFAULT
from ops.core import platform as platform_module
from ops.core.errors import OpsError, one_line
from ops.core.platform import Platform
from ops.core.prometheus_text import seconds_of_option
from ops.core.web import Web, connected


@dataclass(frozen=True)
class Span:
    """One span as it is shown.

    Attributes:
        span_id: Its id.
        parent_id: Id of its parent, or empty.
        service: Who made it.
        name: Its operation.
        start_us: Start in microseconds since 1970.
        duration_us: Duration in microseconds.
        error: Whether it failed.
        data_class: Its class of confidentiality.
        links: Ids of other traces that it follows from.
    """

    span_id: str
    parent_id: str
    service: str
    name: str
    start_us: int
    duration_us: int
    error: bool
    data_class: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Trace:
    """One trace; of its spans those that the clearance shows."""

    trace_id: str
    spans: tuple[Span, ...]

    @property
    def start_us(self) -> int:
        """Start of the earliest span."""
        return min(span.start_us for span in self.spans)

    @property
    def duration_us(self) -> int:
        """From the first start to the last end."""
        return max(span.start_us + span.duration_us for span in self.spans) - self.start_us


def parse(content: Mapping[str, Any]) -> Trace:
    """A trace from Jaeger's JSON."""
    trace_id = str(content.get("traceID", ""))
    processes = content.get("processes") or {}
    return Trace(trace_id, tuple(_span(span, trace_id, processes) for span in content.get("spans") or []))


def _span(content: Mapping[str, Any], trace_id: str, processes: Mapping[str, Any]) -> Span:
    process = processes.get(content.get("processID", ""), {})
    tags = {str(tag["key"]): tag.get("value") for tag in content.get("tags") or []}
    own = [str(tags[ATTRIBUTE])] if ATTRIBUTE in tags else []
    own += [str(tag.get("value")) for tag in process.get("tags") or [] if tag["key"] == ATTRIBUTE]
    known = all(name in CLASSES for name in own)
    references = content.get("references") or []
    inner = [reference for reference in references if reference.get("traceID") == trace_id]
    parents = [reference for reference in inner if reference.get("refType") == "CHILD_OF"] or inner
    return Span(
        span_id=str(content.get("spanID", "")),
        parent_id=str(parents[0]["spanID"]) if parents else "",
        service=str(process.get("serviceName", "?")),
        name=str(content.get("operationName", "?")),
        start_us=int(content.get("startTime", 0)),
        duration_us=int(content.get("duration", 0)),
        error=str(tags.get("error", "")).lower() == "true",
        data_class=max(own, key=CLASSES.index) if own and known else DEFAULT,
        links=tuple(str(reference.get("traceID")) for reference in references if reference.get("traceID") != trace_id),
    )


def tree(trace: Trace) -> Tree:
    """The spans as a tree; a span whose parent is not there stands at the top and says so."""
    known = {span.span_id for span in trace.spans}
    children: dict[str, list[Span]] = {}
    for span in sorted(trace.spans, key=lambda span: (span.start_us, span.span_id)):
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    when = datetime.fromtimestamp(trace.start_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
    head = f"trace {trace.trace_id}  {when} UTC  {duration(trace.duration_us)}  {len(trace.spans)} spans"
    root = Tree(Text(printable(head), style="bold"))
    shown: set[str] = set()

    def add(spans: Iterable[Span]) -> None:
        waiting = [(root, span) for span in spans]
        for branch, span in waiting:
            if span.span_id not in shown:
                shown.add(span.span_id)
                inner = branch.add(_label(span, trace.start_us, orphan=branch is root and bool(span.parent_id)))
                waiting += [(inner, child) for child in children.get(span.span_id, ())]

    add(children.get("", ()))
    # Spans that name each other as parents have no top; they must not vanish.
    for span in trace.spans:
        add([span])
    return root


def _label(span: Span, start_us: int, *, orphan: bool) -> Text:
    label = Text.assemble(
        (printable(span.service), "cyan"),
        " ",
        printable(span.name),
        f"  +{duration(span.start_us - start_us)}  ",
        (duration(span.duration_us), "yellow"),
    )
    label.append(f"  {span.data_class}", "dim")
    if span.error:
        label.append("  ERROR", "bold red")
    if orphan:
        label.append("  (parent not shown)", "dim")
    for other in span.links:
        label.append(f"  -> trace {printable(other)}", "dim")
    return label


def printable(text: str) -> str:
    """Text without control characters: span names come from clients, and could steer the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def duration(microseconds: int) -> str:
    """A duration for people."""
    if microseconds < 1000:
        return f"{microseconds} us"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.1f} ms"
    return f"{microseconds / 1_000_000:.2f} s"


_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")


class TraceReader:
    """Reads traces of one clearance.

    Args:
        web: Session that trusts the platform.
        url: Base address of the clearance's query.
        token: Bearer token of the identity provider.
        clearance: For messages.
    """

    def __init__(self, web: Web, url: str, token: str, clearance: str) -> None:
        self._web, self._url, self._token, self._clearance = web, url, token, clearance

    def one(self, trace_id: str) -> Trace:
        """The trace with an id.

        Raises:
            OpsError: It is no id, there is no such trace in this clearance, or the query refuses.
        """
        if not _TRACE_ID.fullmatch(trace_id):
            raise OpsError(f"{trace_id!r} is no trace id: up to 32 hexadecimal digits")
        traces = self._get(f"/api/traces/{trace_id.lower()}", {})
        if not traces:
            raise OpsError(
                f"no trace {trace_id} with the clearance {self._clearance}: not kept, too old, or not yet here"
            )
        return traces[0]

    def search(self, service: str, *, errors: bool, since_s: int, limit: int) -> list[Trace]:
        """The newest traces of a service.

        Raises:
            OpsError: The query refuses, or does not answer.
        """
        now = time.time_ns() // 1000
        params = {
            "service": service,
            "start": str(now - since_s * 1_000_000),
            "end": str(now),
            "limit": str(limit),
            **({"tags": json.dumps({"error": "true"})} if errors else {}),
        }
        return sorted(self._get("/api/traces", params), key=lambda trace: -trace.start_us)

    def _get(self, path: str, params: Mapping[str, str]) -> list[Trace]:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        response = self._web.call("GET", self._url + path, params=params, headers=headers)
        with response:
            if response.status_code == 404:
                return []
            if response.status_code in (401, 403):
                raise OpsError(f"{self._url} refuses the token: it is too old, or its groups lack {self._clearance}")
            return [trace for content in _data(response, self._url) if (trace := parse(content)).spans]


def _data(response: requests.Response, name: str) -> list[dict[str, Any]]:
    if response.status_code != 200:
        raise OpsError(f"{name} answered {response.status_code}: {one_line(response.text, 160)}")
    try:
        content = response.json()["data"]
    except (ValueError, KeyError, TypeError):
        raise OpsError(f"{name} did not answer as Jaeger does") from None
    return list(content or [])


def choose(platform: Platform, clearance: str | None) -> tuple[str, str]:
    """Clearance and address to read from: the given one, else the most restricted that there is.

    Raises:
        OpsError: There is none such.
    """
    urls = platform.trace_query_urls
    there = [name for name in CLASSES if name in urls]
    if not there:
        raise OpsError("the stack has no trace queries: bring up a version of the platform that has Jaeger")
    if clearance is not None and clearance not in there:
        raise OpsError(f"--clearance is {clearance!r}, must be one of {', '.join(there)}")
    chosen = clearance or there[-1]
    return chosen, urls[chosen]


def fetch_token(web: Web, platform: Platform) -> str:
    """A token of the tool's own client (client credentials).

    Raises:
        OpsError: The platform has no such client, or the provider refuses it.
    """
    login = platform.trace_login
    if login is None:
        raise OpsError("the stack has no login for tools: give a token of your identity provider with --token-file")
    with web.trusting(login.authority) as provider:
        with provider.call("GET", f"{login.issuer}/.well-known/openid-configuration") as response:
            endpoint = str(_json(response, login.issuer).get("token_endpoint", ""))
        if urlparse(endpoint).scheme != "https":
            raise OpsError(f"{login.issuer} names no token endpoint with https")
        with provider.call(
            "POST",
            endpoint,
            auth=(login.client_id, login.client_secret.get_secret_value()),
            data=b"grant_type=client_credentials",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        ) as response:
            token = _json(response, endpoint).get("access_token")
    if not token:
        raise OpsError(f"{endpoint} answered without a token")
    return str(token)


def _json(response: requests.Response, name: str) -> dict[str, Any]:
    if response.status_code != 200:
        raise OpsError(f"{name} answered {response.status_code}")
    try:
        content = response.json()
    except ValueError:
        raise OpsError(f"{name} did not answer with JSON") from None
    return content if isinstance(content, dict) else {}


def trace(
    trace_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Trace id; or use --service.")] = None,
    service: Annotated[str | None, typer.Option(help="The newest traces of this service.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only traces in which the service failed.")] = False,
    since: Annotated[str, typer.Option(help="How far back, e.g. 15m.")] = "15m",
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most traces.")] = 5,
    clearance: Annotated[str | None, typer.Option(help=f"{', '.join(CLASSES)}; else the highest.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with your own token, instead of the tool's.")] = None,
) -> None:
    """Show a trace, or the newest traces of a service, as trees of spans."""
    if (trace_id is None) == (service is None):
        raise OpsError("give either a trace id or --service")
    since_s = seconds_of_option("--since", since)
    platform = platform_module.load()
    chosen, url = choose(platform, clearance)
    with connected(platform.ca_certificate) as web:
        token = _own(token_file) if token_file else fetch_token(web, platform)
        reader = TraceReader(web, url, token, chosen)
        if trace_id is not None:
            traces: Sequence[Trace] = [reader.one(trace_id)]
        else:
            traces = reader.search(service or "", errors=errors, since_s=since_s, limit=limit)
    console = Console()
    for trace in traces:
        console.print(tree(trace))
    if not traces:
        typer.echo(f"no such trace of {service} in the last {since} with the clearance {chosen}", err=True)
    raise typer.Exit(0 if traces else 1)


def _own(path: Path) -> str:
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise OpsError(f"--token-file {path}: cannot be read: {error.strerror}") from None
    if not token:
        raise OpsError(f"--token-file {path}: is empty")
    return token
