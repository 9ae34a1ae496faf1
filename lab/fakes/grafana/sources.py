"""Data sources from the provisioning files; their secrets stay in memory and are never answered."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from lab.fakes.grafana.exchange import chosen_uid
from lab.fakes.grafana.settings import SettingsError, expanded

TYPES: Final = MappingProxyType(
    {
        "prometheus": "Prometheus",
        "jaeger": "Jaeger",
        "alertmanager": "Alertmanager",
        "elasticsearch": "Elasticsearch",
        "grafana-opensearch-datasource": "OpenSearch",
    }
)
"""Kinds of data sources that can be asked, and their names."""

_KEYS: Final = (
    *("name", "type", "uid", "access", "orgId", "url", "user", "database", "basicAuth", "basicAuthUser", "isDefault"),
    *("withCredentials", "jsonData", "secureJsonData", "version", "editable"),
)
_TOP: Final = ("apiVersion", "datasources", "deleteDatasources", "prune")
_DATA: Final = (
    *("tlsAuth", "tlsAuthWithCACert", "tlsSkipVerify", "serverName", "oauthPassThru", "sigV4Auth", "keepCookies"),
    *("timeout", "httpHeaderName1", "enableSecureSocksProxy", "correlations", "manageAlerts"),
)
_DATA_OF: Final = MappingProxyType(
    {
        "prometheus": (
            *("httpMethod", "prometheusType", "prometheusVersion", "timeInterval", "queryTimeout", "cacheLevel"),
            *("customQueryParameters", "defaultEditor", "disableMetricsLookup", "exemplarTraceIdDestinations"),
            *("incrementalQuerying", "incrementalQueryOverlapWindow", "disableRecordingRules", "seriesEndpoint"),
            *("seriesLimit", "allowAsRecordingRulesTarget", "maxSamplesProcessedWarningThreshold"),
        ),
        "jaeger": ("nodeGraph", "traceIdTimeParams", "spanBar", "tracesToLogs", "tracesToLogsV2", "tracesToMetrics"),
        "alertmanager": ("implementation", "handleGrafanaManagedAlerts"),
        "elasticsearch": (
            *("index", "timeField", "logMessageField", "logLevelField", "maxConcurrentShardRequests", "dataLinks"),
            *("interval", "timeInterval", "includeFrozen", "defaultQueryMode"),
        ),
        "grafana-opensearch-datasource": (
            *("database", "timeField", "logMessageField", "logLevelField", "maxConcurrentShardRequests", "dataLinks"),
            *("interval", "timeInterval", "flavor", "version", "versionLabel", "pplEnabled", "serverless"),
        ),
    }
)
"""Keys of ``jsonData`` that every plugin reads, and those of each; Grafana takes no notice of others."""
_SECRETS: Final = ("basicAuthPassword", "tlsCACert", "tlsClientCert", "tlsClientKey")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data source.

    Attributes:
        id: Number, by the order of the files.
        uid: Identifier.
        name: Name.
        type: Plugin.
        url: Where it is asked, without a slash at its end.
        user: User of Basic auth; empty: none.
        password: Its password.
        authority: Authority of its certificate in PEM; empty: those of the system.
        server_name: Name in its certificate; empty: the host of ``url``.
        default: Whether it is the default one.
        data: What anybody may know of its settings.
        secrets: Names of its secrets.
    """

    id: int
    uid: str
    name: str
    type: str
    url: str
    user: str
    password: str = field(repr=False)
    authority: str = field(repr=False)
    server_name: str
    default: bool
    data: Mapping[str, Any]
    secrets: Sequence[str]


def load(folder: Path, environment: Mapping[str, str]) -> tuple[Source, ...]:
    """Read every file of a folder; a folder that is not there has no data sources.

    Raises:
        SettingsError: A file cannot be read, or something in it is unknown or not safe.
    """
    sources: list[Source] = []
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    for path in files:
        try:
            content = yaml.safe_load(path.read_text())
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError):
            raise SettingsError(f"{path}: is not YAML") from None
        if not isinstance(content, dict) or content.get("apiVersion") != 1:
            raise SettingsError(f"{path}: apiVersion must be 1")
        for key in content:
            if key not in _TOP:
                raise SettingsError(f"{path}: {key} is no setting of Grafana; allowed: {', '.join(_TOP)}")
        for index, datasource in enumerate(content.get("datasources") or []):
            sources.append(_source(f"{path}: datasources[{index}]", datasource, len(sources) + 1, environment))
    for key in ("uid", "name"):
        values = [getattr(source, key) for source in sources]
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise SettingsError(f"{folder}: two data sources have the {key} {min(twice)!r}; choose another one")
    if sum(source.default for source in sources) > 1:
        raise SettingsError(f"{folder}: only one data source may have isDefault: true")
    return tuple(sources)


def check_hosts(sources: Sequence[Source], hosts: Sequence[str]) -> None:
    """Check that the proxy may ask every data source; no ``hosts``: it may.

    Raises:
        SettingsError: It may not.
    """
    for source in sources:
        if hosts and urlsplit(source.url).netloc not in hosts:
            raise SettingsError(
                f"[security] data_source_proxy_whitelist is {' '.join(hosts)!r}; it must name "
                f"{urlsplit(source.url).netloc} of the data source {source.uid}"
            )


def _source(where: str, given: object, number: int, environment: Mapping[str, str]) -> Source:
    if not isinstance(given, dict):
        raise SettingsError(f"{where} must be a mapping with the keys {', '.join(_KEYS)}")
    for key in given:
        if key not in _KEYS:
            raise SettingsError(f"{where}.{key} is no setting of Grafana; allowed: {', '.join(_KEYS)}")

    def text(holder: Mapping[str, Any], key: str) -> str:
        value = holder.get(key, "")
        return expanded(f"{where}.{key}", value, environment) if isinstance(value, str) else str(value)

    name, kind, url = (text(given, key) for key in ("name", "type", "url"))
    if not name:
        raise SettingsError(f"{where}.name is missing")
    if kind not in TYPES:
        raise SettingsError(f"{where}.type is {kind!r}; the fake offers {', '.join(TYPES)}")
    if not url.startswith("https://"):
        raise SettingsError(f"{where}.url is {url!r}; it must be an https URL")
    if given.get("access", "proxy") != "proxy":
        raise SettingsError(f"{where}.access is {given['access']!r}; it must be proxy")
    data, secure = given.get("jsonData") or {}, given.get("secureJsonData") or {}
    for key in data:
        if key not in (*_DATA, *_DATA_OF[kind]):
            raise SettingsError(
                f"{where}.jsonData.{key} is no setting of {kind}; allowed: {', '.join((*_DATA, *_DATA_OF[kind]))}"
            )
    if data.get("tlsSkipVerify"):
        raise SettingsError(f"{where}.jsonData.tlsSkipVerify must not be true; set tlsAuthWithCACert and tlsCACert")
    for key in ("tlsAuth", "oauthPassThru", "sigV4Auth"):
        if data.get(key):
            raise SettingsError(f"{where}.jsonData.{key} is not offered by the fake; use basicAuth")
    for key in secure:
        if key not in _SECRETS:
            raise SettingsError(
                f"{where}.secureJsonData.{key} is not offered by the fake; allowed: {_SECRETS[0]}, {_SECRETS[1]}"
            )
    basic = given.get("basicAuth") is True
    data = _plain(data)
    authority = text(secure, "tlsCACert") if data.get("tlsAuthWithCACert") else ""
    if data.get("tlsAuthWithCACert") and not authority:
        raise SettingsError(f"{where}.secureJsonData.tlsCACert is missing; tlsAuthWithCACert needs it")
    _check_authority(where, authority)
    return Source(
        id=number,
        uid=chosen_uid(text(given, "uid") or f"source-{number}"),
        name=name,
        type=kind,
        url=url.rstrip("/"),
        user=text(given, "basicAuthUser") if basic else "",
        password=text(secure, "basicAuthPassword") if basic else "",
        authority=authority,
        server_name=text(data, "serverName"),
        default=given.get("isDefault") is True,
        data=data,
        secrets=sorted(secure),
    )


def _plain(value: Any) -> Any:
    """Settings with the second of two dollars taken out, with which files say that nothing is to be filled in."""
    if isinstance(value, dict):
        return {key: _plain(nested) for key, nested in value.items()}
    if isinstance(value, list):
        return [_plain(nested) for nested in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def _check_authority(where: str, authority: str) -> None:
    if authority:
        try:
            ssl.create_default_context(cadata=authority)
        except (ssl.SSLError, ValueError):
            raise SettingsError(f"{where}.secureJsonData.tlsCACert holds no certificates in PEM") from None


def shown(source: Source) -> dict[str, Any]:
    """A data source as administrators see it."""
    return {
        "id": source.id,
        "uid": source.uid,
        "orgId": 1,
        "name": source.name,
        "type": source.type,
        "typeName": TYPES[source.type],
        "typeLogoUrl": "",
        "access": "proxy",
        "url": source.url,
        "user": "",
        "database": "",
        "basicAuth": bool(source.user),
        "basicAuthUser": source.user,
        "withCredentials": False,
        "isDefault": source.default,
        "jsonData": source.data,
        "secureJsonFields": dict.fromkeys(source.secrets, True),
        "version": 1,
        "readOnly": True,
    }
