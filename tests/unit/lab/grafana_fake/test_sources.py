"""Provisioning files of data sources: secrets are filled in, mistakes get one line, the proxy's list is closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.fakes.grafana.exchange import RefusedError, Request
from lab.fakes.grafana.proxy import Proxy
from lab.fakes.grafana.settings import SettingsError
from lab.fakes.grafana.sources import Source, load, shown
from lab.fakes.grafana.telemetry import Log, Metrics
from lab.fakes.grafana.users import User

SOURCE: dict[str, Any] = {
    "name": "Metrics",
    "uid": "metrics",
    "type": "prometheus",
    "access": "proxy",
    "url": "https://thanos.example:9090/",
    "basicAuth": True,
    "basicAuthUser": "grafana",
    "isDefault": True,
    "jsonData": {"timeInterval": "15s"},
    "secureJsonData": {"basicAuthPassword": "$__env{SECRET}"},
}


def read(folder: Path, *sources: dict[str, Any]) -> tuple[Source, ...]:
    """Data sources of a file."""
    content = {"apiVersion": 1, "datasources": list(sources)}
    (folder / "sources.yaml").write_text(yaml.safe_dump(content))
    return load(folder, {"SECRET": "secret-of-the-source"})


def person(role: str) -> User:
    """Somebody with that role."""
    return User(id=2, uid="u", login="someone", name="", email="", role=role, server_admin=False, source="ldap")


def test_a_source_is_read_and_shown_without_its_secret(tmp_path: Path) -> None:
    (source,) = read(tmp_path, SOURCE)

    assert (source.url, source.user, source.password) == (
        "https://thanos.example:9090",
        "grafana",
        "secret-of-the-source",
    )
    assert "secret-of-the-source" not in repr(source) + repr(shown(source))
    assert shown(source)["secureJsonFields"] == {"basicAuthPassword": True}


def test_a_folder_that_is_not_there_has_no_sources(tmp_path: Path) -> None:
    assert load(tmp_path / "nothing", {}) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "http://thanos.example"}, "it must be an https URL"),
        ({"type": "loki"}, "datasources[0].type is 'loki'; the fake offers prometheus, "),
        ({"access": "direct"}, "it must be proxy"),
        ({"name": ""}, "datasources[0].name is missing"),
        ({"secureJson": {}}, "datasources[0].secureJson is no setting of Grafana"),
        (
            {"jsonData": {"tlsAuthWithCACerts": True}},
            "jsonData.tlsAuthWithCACerts is no setting of prometheus; allowed",
        ),
        ({"jsonData": {"timeField": "@timestamp"}}, "jsonData.timeField is no setting of prometheus"),
        ({"jsonData": {"tlsSkipVerify": True}}, "tlsSkipVerify must not be true"),
        ({"jsonData": {"tlsAuthWithCACert": True}}, "tlsCACert is missing"),
        ({"jsonData": {"oauthPassThru": True}}, "oauthPassThru is not offered by the fake"),
        (
            {"jsonData": {"tlsAuthWithCACert": True}, "secureJsonData": {"tlsCACert": "no certificate"}},
            "tlsCACert holds no certificates in PEM",
        ),
        ({"secureJsonData": {"password": "x"}}, "secureJsonData.password is not offered"),
    ],
)
def test_what_is_unsafe_or_unknown_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, SOURCE | change)

    assert said in str(caught.value)


def test_two_sources_with_the_same_identifier_or_two_defaults_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="two data sources have the uid 'metrics'"):
        read(tmp_path, SOURCE, SOURCE | {"name": "Other"})
    with pytest.raises(SettingsError, match="only one data source may have isDefault"):
        read(tmp_path, SOURCE, SOURCE | {"name": "Other", "uid": "other"})


@pytest.mark.parametrize(
    ("kind", "method", "path", "role", "status"),
    [
        ("prometheus", "POST", "api/v1/admin/tsdb/snapshot", "Admin", 403),
        ("prometheus", "POST", "api/v1/query/../admin", "Admin", 400),
        ("prometheus", "DELETE", "api/v1/series", "Admin", 403),
        ("alertmanager", "POST", "api/v2/silences", "Viewer", 403),
        ("alertmanager", "DELETE", "api/v2/silence/0123-ab", "Viewer", 403),
        ("alertmanager", "POST", "api/v2/alerts", "Admin", 403),
        ("jaeger", "POST", "api/traces", "Admin", 403),
        ("elasticsearch", "POST", "logs/_doc", "Admin", 403),
        ("elasticsearch", "DELETE", "logs", "Admin", 403),
        ("grafana-opensearch-datasource", "PUT", "logs", "Admin", 403),
        ("prometheus", "POST", "api/v1/query", "Viewer", 502),
        ("alertmanager", "POST", "api/v2/silences", "Editor", 502),
        ("elasticsearch", "POST", "logs/_msearch", "Viewer", 502),
        ("jaeger", "GET", "api/services", "Viewer", 502),
    ],
)
def test_only_questions_are_passed_on_and_silences_of_editors(
    tmp_path: Path, kind: str, method: str, path: str, role: str, status: int
) -> None:
    # Nothing listens on port 1: what is passed on ends as 502.
    sources = read(tmp_path, SOURCE | {"type": kind, "url": "https://127.0.0.1:1", "jsonData": {}})
    proxy = Proxy(sources, 2, 1000, Log(lambda line: None), Metrics())
    request = Request(method=method, path=path, who=person(role))

    with pytest.raises(RefusedError) as caught:
        proxy.forward(request, sources[0], path)
    assert caught.value.status == status
