"""``/api/datasources``: what there is, whether it answers, and questions passed on with the sources' logins, over
verified TLS, as far as the person may ask.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import urllib3
from urllib3.util import make_headers

from lab.fakes.grafana import VERSION, exchange
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, denied, told
from lab.fakes.grafana.sources import Source, shown
from lab.fakes.grafana.telemetry import Log, Metrics

_BODY_LIMIT: Final = 1024 * 1024
_CONNECT_S: Final = 5.0
_AT_ONCE: Final = 32
_PIECE: Final = 256 * 1024
_PASSED: Final = ("accept", "content-type", "x-query-tags", "traceparent", "tracestate")
_BACK: Final = ("Content-Type", "Content-Encoding", "Cache-Control", "ETag")
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_.~:@!$&'()*+,;=%/ -]*")


@dataclass(frozen=True, kw_only=True)
class _Rule:
    method: str
    path: re.Pattern[str]
    editor: bool = False


def _rule(method: str, path: str, *, editor: bool = False) -> _Rule:
    return _Rule(method=method, path=re.compile(path), editor=editor)


_SEARCHES: Final = (_rule("GET", r".*"), _rule("POST", r"(?:[^/]+/)?_m?search"))
_RULES: Final[Mapping[str, tuple[_Rule, ...]]] = {
    "prometheus": (
        _rule("GET", r".*"),
        _rule("POST", r"api/v1/(?:query|query_range|series|labels|query_exemplars|format_query)"),
    ),
    "alertmanager": (
        _rule("GET", r".*"),
        _rule("POST", r"api/v2/silences", editor=True),
        _rule("DELETE", r"api/v2/silence/[0-9a-f-]+", editor=True),
    ),
    "jaeger": (_rule("GET", r".*"),),
    "elasticsearch": _SEARCHES,
    "grafana-opensearch-datasource": _SEARCHES,
}


class SourceAwayError(Exception):
    """A data source gave no answer that can be passed on."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        """Tell the client ``status``; the reason is for the log."""
        super().__init__(reason)
        self.status = status


class Proxy:
    """Connections to the data sources, kept open for the next question."""

    def __init__(self, sources: tuple[Source, ...], timeout_s: int, limit: int, log: Log, metrics: Metrics) -> None:
        """Ask those sources, each answer within ``timeout_s`` seconds and ``limit`` bytes."""
        self._timeout = urllib3.Timeout(connect=min(_CONNECT_S, timeout_s), read=timeout_s)
        self._timeout_s, self._limit = timeout_s, limit
        self._log, self._metrics = log, metrics
        self._pools = {source.uid: _pool(source) for source in sources}

    def forward(self, request: Request, source: Source, path: str) -> Answer:
        """Pass a request on.

        Raises:
            RefusedError: The person may not, or the source gave no answer (502, 504).
        """
        _check(request, source, path)
        if len(request.body) > _BODY_LIMIT:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long for a question")
        headers = {name: value for name, value in request.headers.items() if name in _PASSED}
        headers["Accept-Encoding"] = "gzip" if "gzip" in request.headers.get("accept-encoding", "") else "identity"
        query = f"?{request.raw_query}" if request.raw_query else ""
        try:
            return self.ask(source, request.method, quote(path, safe="/:@!$&'()*+,;=~") + query, request.body, headers)
        except SourceAwayError as error:
            self._log.warn(
                "data-proxy-log",
                "Data source gave no answer",
                datasource=source.uid,
                reason=str(error),
                status=int(error.status),
                path=request.path,
                uname=request.person.login,
                userId=request.person.id,
            )
            raise RefusedError(error.status, error.status.phrase) from None

    def ask(
        self, source: Source, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask a source.

        Args:
            source: Which one.
            method: HTTP method.
            target: Path below the source's URL, with the query.
            body: Body.
            headers: Headers beside the login.

        Raises:
            SourceAwayError: No answer came, it took too long, or it was too large.
        """
        began = time.monotonic()
        try:
            answer = self._pools[source.uid].request(
                method,
                f"{source.url}/{target}",
                body=body or None,
                headers={**(headers or {}), **_login(source)},
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                content = self._whole(answer, began)
            finally:
                answer.release_conn()
        except urllib3.exceptions.NewConnectionError as error:
            # A timeout as well, for this library.
            raise SourceAwayError(HTTPStatus.BAD_GATEWAY, _reason(error)) from None
        except urllib3.exceptions.TimeoutError:
            raise SourceAwayError(HTTPStatus.GATEWAY_TIMEOUT, f"no answer within {self._timeout_s} s") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceAwayError(HTTPStatus.BAD_GATEWAY, _reason(error)) from None
        self._metrics.answer(source.name, source.type, answer.status, method, time.monotonic() - began)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            # To a browser it would look as if its own session had ended.
            return told({"message": "Authentication to data source failed"}, HTTPStatus.BAD_REQUEST)
        back = tuple((name, answer.headers[name]) for name in _BACK if name in answer.headers)
        return Answer(status=answer.status, body=content, headers=back)

    def _whole(self, answer: urllib3.BaseHTTPResponse, began: float) -> bytes:
        pieces, size = [], 0
        for piece in answer.stream(_PIECE, decode_content=False):
            pieces.append(piece)
            size += len(piece)
            if size > self._limit:
                answer.close()
                raise SourceAwayError(HTTPStatus.BAD_GATEWAY, f"the answer is longer than {self._limit} bytes")
            if time.monotonic() - began > self._timeout_s:
                answer.close()
                raise SourceAwayError(HTTPStatus.GATEWAY_TIMEOUT, f"not whole within {self._timeout_s} s")
        return b"".join(pieces)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _check(request: Request, source: Source, path: str) -> None:
    parts = path.split("/")
    if ".." in parts or "." in parts or not _PLAIN_PATH.fullmatch(path):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the path may not leave the data source")
    method = "GET" if request.method == "HEAD" else request.method
    for rule in _RULES[source.type]:
        if rule.method == method and rule.path.fullmatch(path):
            if rule.editor and not (request.person.admin or request.person.role == "Editor"):
                raise denied("alert.instances.external:write")
            return
    raise RefusedError(
        HTTPStatus.FORBIDDEN, f"non allow-listed {request.method}s not allowed on proxied {source.type} data source"
    )


def _login(source: Source) -> dict[str, str]:
    if not source.user:
        return {}
    credentials = f"{source.user}:{source.password}"
    return dict(make_headers(basic_auth=credentials.encode().decode("latin-1")))


def _pool(source: Source) -> urllib3.PoolManager:
    context = ssl.create_default_context(cadata=source.authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    name = source.server_name or None
    return urllib3.PoolManager(
        num_pools=1, maxsize=_AT_ONCE, ssl_context=context, server_hostname=name, assert_hostname=name
    )


_HEALTH: Final = {
    "prometheus": ("api/v1/query?query=1%2B1", "Successfully queried the Prometheus API."),
    "jaeger": ("api/services", "Data source is working"),
    "alertmanager": ("api/v2/status", "Health check passed."),
    "elasticsearch": ("{index}/_search?size=0", "Elasticsearch data source is healthy."),
    "grafana-opensearch-datasource": ("{index}/_search?size=0", "Plugin is healthy"),
}
_METHODS: Final = ("GET", "POST", "PUT", "DELETE")


class Sources:
    """Data sources; they come from provisioning and cannot be changed."""

    def __init__(self, sources: tuple[Source, ...], proxy: Proxy) -> None:
        """Offer those sources."""
        self._sources, self._proxy = sources, proxy

    def routes(self) -> list[Route]:
        """Its routes."""
        base, read = "/api/datasources", "datasources:read"
        routes = [
            Route(method="GET", path=base, need=Need.ADMIN, action=read, handle=self._list),
            Route(method="POST", path=base, need=Need.ADMIN, action="datasources:create", handle=_no_more, change=True),
            Route(method="GET", path=f"{base}/uid/{{uid}}/health", need=Need.PERSON, handle=self._health),
            Route(method="GET", path="/api/frontend/settings", need=Need.PERSON, handle=self._frontend),
        ]
        for path in ("{id}", "uid/{uid}", "name/{name}"):
            routes += [
                Route(method="GET", path=f"{base}/{path}", need=Need.ADMIN, action=read, handle=self._one),
                self._fixed("PUT", f"{base}/{path}", "update", "datasources:write"),
                self._fixed("DELETE", f"{base}/{path}", "delete", "datasources:delete"),
            ]
        routes += [
            Route(
                method=method,
                path=f"{base}/proxy/{way}/{{rest*}}",
                need=Need.PERSON,
                handle=self._pass,
                change=method in ("PUT", "DELETE"),
            )
            for method in _METHODS
            for way in ("uid/{uid}", "{id}")
        ]
        return routes

    def _list(self, request: Request) -> Answer:
        return told([shown(source) for source in sorted(self._sources, key=lambda source: source.name.lower())])

    def _one(self, request: Request) -> Answer:
        return told(shown(self._find(request)))

    def _fixed(self, method: str, path: str, verb: str, action: str) -> Route:
        def handle(request: Request) -> Answer:
            self._find(request)
            raise RefusedError(HTTPStatus.FORBIDDEN, f"Cannot {verb} read-only data source")

        return Route(method=method, path=path, need=Need.ADMIN, action=action, handle=handle, change=True)

    def _health(self, request: Request) -> Answer:
        source = self._find(request)
        target, message = _HEALTH[source.type]
        try:
            index = quote(str(source.data.get("index") or source.data.get("database") or "*"))
            answer = self._proxy.ask(source, "GET", target.replace("{index}", index))
        except SourceAwayError as error:
            return told({"status": "ERROR", "message": error.status.phrase}, HTTPStatus.BAD_REQUEST)
        if answer.status != HTTPStatus.OK:
            return told({"status": "ERROR", "message": f"it answers {answer.status}"}, HTTPStatus.BAD_REQUEST)
        return told({"status": "OK", "message": message})

    def _pass(self, request: Request) -> Answer:
        return self._proxy.forward(request, self._find(request), request.places["rest"])

    def _frontend(self, request: Request) -> Answer:
        default = next((source.name for source in self._sources if source.default), "")
        return told(
            {
                "buildInfo": {"version": VERSION, "commit": "fake", "edition": "Open Source", "env": "production"},
                "datasources": {source.name: _seen(source) for source in self._sources},
                "defaultDatasource": default,
                "unifiedAlertingEnabled": False,
                "snapshotEnabled": False,
                "publicDashboardsEnabled": False,
            }
        )

    def _find(self, request: Request) -> Source:
        places = request.places
        for source in self._sources:
            if (
                source.uid == places.get("uid")
                or source.name == places.get("name")
                or source.id == exchange.number(places.get("id"))
            ):
                return source
        raise RefusedError(HTTPStatus.NOT_FOUND, "Data source not found")


def _no_more(request: Request) -> Answer:
    raise RefusedError(HTTPStatus.NOT_IMPLEMENTED, "the fake takes data sources from provisioning only")


def _seen(source: Source) -> dict[str, Any]:
    return {
        "id": source.id,
        "uid": source.uid,
        "type": source.type,
        "name": source.name,
        "url": f"/api/datasources/proxy/uid/{source.uid}",
        "access": "proxy",
        "isDefault": source.default,
        "readOnly": True,
        "jsonData": source.data,
    }
