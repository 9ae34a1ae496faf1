"""``/api/datasources``: what there is, whether it answers, and the way to it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from lab.fakes.grafana import VERSION, naming
from lab.fakes.grafana.exchange import Answer, Need, RefusedError, Request, Route, told
from lab.fakes.grafana.proxy import Proxy, SourceAwayError
from lab.fakes.grafana.sources import Source, shown

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
                or source.id == naming.number(places.get("id"))
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
