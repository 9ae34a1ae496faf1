"""The data sources that Grafana is provisioned with, from contracts (requirements G1, P2).

Dashboards name kinds of sources and never the identity of one; the first source of a kind is chosen at first. Passwords
are named by file, so the provisioning itself holds none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from components.contracts import AlertmanagerEndpoint, Credential, QueryEndpoint, SearchEndpoint
from components.grafana.process import from_file
from components.k8s import TLS_MOUNT
from components.versions import release

METRICS, ALERTS, LOGS, TRACES = "metrics", "alerts", "logs", "traces"
"""Identity and name of each source."""
TRACE_LABEL = "trace_id"
"""Label of an exemplar that names its trace."""
_PRIVATE = {"tlsAuthWithCACert": True, "tlsSkipVerify": False}
_AUTHORITY = {"tlsCACert": f"$__file{{{TLS_MOUNT}/ca.crt}}"}
_VALUE = "$${__value.raw}"
"""Grafana fills one dollar in when it reads the file; what is left is filled in where a value is shown."""
_TRACE_WORDS = "Trace and its logs"


class LogsPlugin(StrEnum):
    """Plugin that reads the logs. Grafana's image brings the one for Elasticsearch; the other one has to be added."""

    ELASTICSEARCH = "elasticsearch"
    OPENSEARCH = "grafana-opensearch-datasource"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data source.

    Attributes:
        uid: Identity and name of it.
        type: Plugin.
        url: Where it is.
        data: What the plugin wants to know.
        user: Login of Grafana, or None where people show their own.
        access_label: Label that Grafana's pods need, or None.
        default: Whether it is asked where nobody chose another one.
    """

    uid: str
    type: str
    url: str
    data: Mapping[str, Any] = field(default_factory=dict)
    user: Credential | None
    access_label: str | None
    default: bool = False

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme != "https" or not urlsplit(self.url).port:
            raise ValueError(f"data source {self.uid}: its address is {self.url!r}; it must be https://HOST:PORT")

    @property
    def port(self) -> int:
        """Port of it."""
        return urlsplit(self.url).port or 0

    @property
    def address(self) -> str:
        """``host:port`` of it."""
        return urlsplit(self.url).netloc

    @property
    def workload(self) -> str:
        """Workload that serves it: its Service has the same name."""
        return (urlsplit(self.url).hostname or "").partition(".")[0]

    @property
    def secret(self) -> str:
        """File with the password."""
        return f"source-{self.uid}"

    def entry(self) -> dict[str, Any]:
        """The source as Grafana's provisioning reads it."""
        login: dict[str, Any] = {"jsonData": {**self.data, **_PRIVATE}, "secureJsonData": dict(_AUTHORITY)}
        if self.user is None:
            login["jsonData"]["oauthPassThru"] = True
        else:
            login |= {"basicAuth": True, "basicAuthUser": self.user.username}
            login["secureJsonData"]["basicAuthPassword"] = from_file(self.secret)
        return {
            "uid": self.uid,
            "name": self.uid,
            "type": self.type,
            "access": "proxy",
            "orgId": 1,
            "url": self.url,
            "isDefault": self.default,
            "editable": False,
            **login,
        }


def metrics_source(query: QueryEndpoint, *, trace_page: str = "") -> Source:
    """Thanos Query, as its reader.

    Args:
        query: Where it is.
        trace_page: Where exemplars lead to: address of the page of a trace, up to its identity; empty: nowhere.
    """
    destination = {"name": TRACE_LABEL, "url": f"{trace_page}{_VALUE}", "urlDisplayLabel": _TRACE_WORDS}
    return Source(
        uid=METRICS,
        type="prometheus",
        url=query.internal_url,
        data={
            "httpMethod": "POST",
            "prometheusType": "Thanos",
            "timeInterval": "15s",
            "queryTimeout": "30s",
            "manageAlerts": False,
            "allowAsRecordingRulesTarget": False,
            **({"exemplarTraceIdDestinations": [destination]} if trace_page else {}),
        },
        user=query.reader,
        access_label=query.access_label,
        default=True,
    )


def alerts_source(alertmanager: AlertmanagerEndpoint, user: Credential | None = None) -> Source:
    """The Alertmanager cluster. It knows users and no rights, so what Grafana lets people do is what they may.

    Args:
        alertmanager: The cluster.
        user: Login of Grafana only; by default the operator's.
    """
    return Source(
        uid=ALERTS,
        type="alertmanager",
        url=alertmanager.internal_url,
        data={"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
        user=user or alertmanager.operator,
        access_label=alertmanager.access_label,
    )


def logs_source(
    search: SearchEndpoint,
    *,
    user: str,
    index: str,
    plugin: LogsPlugin,
    trace_page: str = "",
) -> Source:
    """The logs in the search cluster.

    Args:
        search: The cluster.
        user: Its user that may read logs and nothing else.
        index: Alias that logs are read through.
        plugin: Who reads it.
        trace_page: Where a record leads to: address of the page of a trace, up to its identity; empty: nowhere.
    """
    fields = {"timeField": "@timestamp", "logMessageField": "body", "logLevelField": "severity"}
    places: dict[LogsPlugin, dict[str, Any]] = {
        LogsPlugin.ELASTICSEARCH: {"index": index},
        LogsPlugin.OPENSEARCH: {
            "database": index,
            "flavor": "opensearch",
            "version": release("opensearch"),
            "pplEnabled": False,
        },
    }
    link = {"field": "trace_id", "url": f"{trace_page}{_VALUE}", "urlDisplayLabel": _TRACE_WORDS}
    return Source(
        uid=LOGS,
        type=plugin.value,
        url=search.url,
        data={
            **places[plugin],
            **fields,
            "maxConcurrentShardRequests": 5,
            **({"dataLinks": [link]} if trace_page else {}),
        },
        user=search.users[user],
        access_label=search.access_label,
    )


def traces_source(url: str, access_label: str | None, user: Credential | None) -> Source:
    """Jaeger's query API.

    Args:
        url: Where it is inside the cluster.
        access_label: Label that Grafana's pods need.
        user: Login of Grafana; None: people's own token of the OpenID Connect provider is shown (``docs/adr/0023``).
    """
    return Source(
        uid=TRACES,
        type="jaeger",
        url=url,
        data={"nodeGraph": {"enabled": True}, "traceIdTimeParams": {"enabled": False}},
        user=user,
        access_label=access_label,
    )


def sources_config(sources: Sequence[Source]) -> dict[str, Any]:
    """The file of all data sources; what is not in it any more is removed from Grafana.

    Raises:
        ValueError: Two sources share an identity, or not exactly one is the default.
    """
    names = [source.uid for source in sources]
    if len(set(names)) != len(names) or sum(source.default for source in sources) != 1:
        raise ValueError(f"data sources are {', '.join(names)}: each must occur once, and exactly one be the default")
    return {"apiVersion": 1, "prune": True, "datasources": [source.entry() for source in sources]}
