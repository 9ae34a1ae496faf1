"""``ops trace``: one trace, or the newest of a service, as trees of spans, from Jaeger's API behind its login."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlparse

import requests
import typer
from rich.console import Console

from components.telemetry.classification import CLASSES
from ops.core import platform as platform_module
from ops.core.errors import OpsError, one_line
from ops.core.platform import Platform
from ops.core.web import Web, connected
from ops.telemetry.trace_tree import Trace, parse, tree

_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
_SPAN = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S = 7 * 86_400


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


def seconds(text: str) -> int:
    """Seconds of ``15m``, ``2h`` and the like.

    Raises:
        OpsError: It is no such text, or more than seven days.
    """
    match = _SPAN.fullmatch(text)
    total = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < total <= _LONGEST_S:
        raise OpsError(f"--since is {text!r}, must be a number with s, m, h or d up to 7d, for example 15m")
    return total


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
    since_s = seconds(since)
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
