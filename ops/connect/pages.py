"""The pages that people open: where each runs, and how one signs in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from components.alertmanager.component import WORKLOAD as ALERTMANAGER
from components.alertmanager.process import WEB_PORT
from components.grafana.process import PORT as GRAFANA_PORT
from components.grafana.process import WORKLOAD as GRAFANA
from components.jaeger.oauth import OAUTH_PORT
from components.jaeger.query import query_workload
from components.prometheus.query import WORKLOAD as QUERY
from components.prometheus.thanos import QUERY_PORT
from ops.core.errors import OpsError
from ops.core.platform import Login, Platform


class Name(StrEnum):
    """A page."""

    GRAFANA = "grafana"
    METRICS = "metrics"
    ALERTS = "alerts"
    TRACES = "traces"


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the platform.

    Attributes:
        workload: Whose pods serve it.
        port: Their port.
        host: Name that a browser has to call it by, since it is sent back there after the login; empty: any.
        who: Who signs in.
        login: A login of the stack, for which there is a file.
    """

    workload: str
    port: int
    who: str
    host: str = ""
    login: Login | None = None


def page(name: Name, platform: Platform, clearance: str) -> Page:
    """What a page is made of.

    Raises:
        OpsError: The stack has none, or there is no such clearance.
    """
    if clearance and name is not Name.TRACES:
        raise OpsError(f"--clearance is for {Name.TRACES} alone")
    if name is Name.TRACES:
        return _traces(platform.trace_query_urls, clearance)
    if name is Name.GRAFANA:
        people = "your own account of the directory or the identity provider; "
        who = f"{'' if platform.left_out('grafana.ldap') else people}the administrator"
        return Page(workload=GRAFANA, port=GRAFANA_PORT, who=who, login=platform.grafana_admin)
    if name is Name.METRICS:
        return Page(workload=QUERY, port=QUERY_PORT, who="the reader", login=platform.query_reader)
    return Page(workload=ALERTMANAGER, port=WEB_PORT, who="the operator", login=platform.alertmanager_operator)


def _traces(urls: Mapping[str, str], clearance: str) -> Page:
    chosen = clearance or next(iter(urls), "")
    if chosen not in urls:
        raise OpsError(f"--clearance is {chosen or 'missing'}: the stack has {', '.join(urls) or 'none'}")
    others = ", ".join(name for name in urls if name != chosen)
    return Page(
        workload=query_workload(chosen),
        port=OAUTH_PORT,
        host=urlsplit(urls[chosen]).hostname or "",
        who=f"your own account of the identity provider, in a group that is cleared for {chosen} "
        f"(--clearance: {others or 'no other'})",
    )
