"""What Grafana's files say: grafana.ini, ldap.toml and the data sources, as data."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest

from components.grafana.config import GrafanaConfig, grafana_config, ini_text
from components.grafana.login import Groups, bind_password, check_site, ldap_config, oidc_settings, toml
from components.grafana.sources import LogsPlugin, Source, sources_config, traces_source
from tests.unit.grafana.stubs import DIRECTORY, TRACE_PAGES, arguments, database, default_build, login, logs, make, oidc


def ini(**changes: Any) -> dict[str, dict[str, str]]:
    given: dict[str, Any] = {
        "url": "https://grafana.example.org:3000",
        "database": database(),
        "connections": 20,
        "administrator": "boss",
        "scraper": "scrape-grafana",
        "sources": ["thanos-query:10902", "search:9200"],
        **changes,
    }
    return {section: dict(entries) for section, entries in grafana_config(GrafanaConfig(**given)).items()}


def test_passwords_are_only_named() -> None:
    named = {
        (section, key): value
        for section, entries in ini(oidc=oidc()).items()
        for key, value in entries.items()
        if key.endswith(("password", "secret", "secret_key")) and not key.startswith("disable")
    }
    assert set(named) == {
        ("database", "password"),
        ("security", "admin_password"),
        ("security", "secret_key"),
        ("metrics", "basic_auth_password"),
        ("auth.generic_oauth", "client_secret"),
    }
    assert all(value.startswith("$__file{/etc/grafana-secrets/") for value in named.values())


def test_the_databases_name_is_verified_and_one_migrates_while_others_wait() -> None:
    database_section = ini()["database"]
    assert (database_section["ssl_mode"], database_section["ca_cert_path"]) == ("verify-full", "/etc/tls/ca.crt")
    assert database_section["server_cert_name"] == "postgres.ns.svc.cluster.local"
    assert database_section["host"] == "postgres.ns.svc.cluster.local:5432"
    assert database_section["migration_locking"] == "true"
    assert int(database_section["locking_attempt_timeout_sec"]) > 0


def test_replicas_share_the_connections_that_they_are_given() -> None:
    database_section = ini(connections=12)["database"]
    assert (database_section["max_open_conn"], database_section["max_idle_conn"]) == ("12", "3")


def test_nobody_makes_an_account_and_nobody_comes_in_unknown() -> None:
    sections = ini()
    assert sections["users"]["allow_sign_up"] == "false"
    assert sections["auth.anonymous"]["enabled"] == "false"
    assert sections["auth.ldap"] == {
        "enabled": "true",
        "config_file": "/etc/grafana/ldap.toml",
        "allow_sign_up": "true",
        "skip_org_role_sync": "false",
    }
    assert sections["auth.generic_oauth"] == {"enabled": "false"}


def test_the_data_proxy_asks_nobody_but_the_data_sources() -> None:
    assert ini()["security"]["data_source_proxy_whitelist"] == "thanos-query:10902 search:9200"


def test_every_request_is_logged_as_json_with_who_made_it() -> None:
    sections = ini()
    assert sections["server"]["router_logging"] == "true"
    assert (sections["log"]["mode"], sections["log.console"]["format"]) == ("console", "json")
    assert sections["dataproxy"]["logging"] == "false"


def test_browsers_are_sent_to_the_name_that_is_in_the_certificate() -> None:
    server = ini()["server"]
    assert (server["domain"], server["root_url"]) == ("grafana.example.org", "https://grafana.example.org:3000/")


def test_a_value_that_an_ini_file_would_cut_off_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^\[server\] domain is 'a;b': it may have no line break, # or ;"):
        ini_text({"server": {"domain": "a;b"}})


def test_groups_become_roles_and_nobody_becomes_administrator_of_the_server() -> None:
    [server] = ldap_config(DIRECTORY, private_authority=True)["servers"]
    assert [(group_mapping["group_dn"], group_mapping["org_role"]) for group_mapping in server["group_mappings"]] == [
        ("cn=monitoring-admins,ou=groups,dc=example,dc=com", "Admin"),
        ("cn=monitoring-editors,ou=groups,dc=example,dc=com", "Editor"),
        ("cn=monitoring-viewers,ou=groups,dc=example,dc=com", "Viewer"),
    ]
    assert not any(group_mapping["grafana_admin"] for group_mapping in server["group_mappings"])
    assert "*" not in [group_mapping["group_dn"] for group_mapping in server["group_mappings"]]


def test_the_directory_is_verified_by_its_own_authority_or_by_public_ones() -> None:
    private, public = (
        ldap_config(DIRECTORY, private_authority=is_private)["servers"][0]["root_ca_cert"]
        for is_private in (True, False)
    )
    assert private == "/etc/grafana-secrets/directory-ca.pem"
    assert public == "/etc/ssl/certs/ca-certificates.crt"
    written = make(lambda: {"directory_secrets": {"bind_password": "x", "authority": None}})
    assert f'root_ca_cert = "{public}"' in written.file("ConfigMap", "grafana", "ldap.toml")
    assert f'root_ca_cert = "{private}"' in default_build().file("ConfigMap", "grafana", "ldap.toml")


def test_what_is_written_as_toml_is_read_as_it_was() -> None:
    content = ldap_config(replace(DIRECTORY, bind_dn='cn="Überwachung, \\"監視",dc=example'), private_authority=True)
    assert tomllib.loads(toml(content)) == content


@pytest.mark.parametrize("password", ["", 'a"b', "a'b", "a\\b", "a\nb", "a$b"])
def test_a_bind_password_that_grafana_would_misread_is_refused_without_showing_it(password: str) -> None:
    with pytest.raises(ValueError, match=r"^directorySecrets\.bind_password is empty or has a quote") as caught:
        bind_password(password)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("search_filter", "(uid=name)", r"ldap\.search_filter is '\(uid=name\)': write a filter in parentheses"),
        ("group_filter", "member=%s", r"ldap\.group_filter is 'member=%s'"),
        ("group_filter", "(|(a=%s)(b=%s))", "with one %s"),
        ("bind_dn", " ", r"ldap\.bind_dn is empty: nobody could log in"),
    ],
)
def test_a_directory_in_which_nobody_would_be_found_is_refused(field: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(DIRECTORY, **{field: value})


def test_one_group_for_two_roles_is_refused() -> None:
    with pytest.raises(ValueError, match="name three different groups"):
        Groups(viewer="all", editor="all", admin="few")


def test_a_providers_groups_become_roles_and_everybody_else_is_refused() -> None:
    settings = oidc_settings(oidc())
    assert settings["role_attribute_strict"] == "true"
    assert settings["role_attribute_path"] == (
        "contains(groups[*], 'monitoring-admins') && 'Admin' || contains(groups[*], 'monitoring-editors') && 'Editor'"
        " || contains(groups[*], 'monitoring-viewers') && 'Viewer'"
    )
    assert (settings["use_pkce"], settings["allow_assign_grafana_admin"]) == ("true", "false")


@pytest.mark.parametrize(
    ("authorize_url", "url"),
    [
        ("https://id.example.com/authorize", "https://grafana.example.org:3000"),
        ("https://id.example.org/authorize", "https://198.18.0.27:3000"),
        ("https://198.18.0.40:5556/auth", "https://198.18.0.27:3000"),
    ],
)
def test_a_provider_from_whose_site_browsers_bring_no_cookie_back_is_refused(authorize_url: str, url: str) -> None:
    with pytest.raises(ValueError, match=r"^oidc\.authorize_url is .*\(SameSite=Strict\)"):
        check_site(oidc(authorize_url=authorize_url), url)
    with pytest.raises(ValueError, match="SameSite=Strict"):
        arguments(oidc=oidc(authorize_url="https://id.example.com/"))


def test_a_provider_of_the_same_site_is_taken() -> None:
    check_site(oidc(), "https://grafana.example.org:3000")
    check_site(oidc(authorize_url="https://198.18.0.27:5556/auth"), "https://198.18.0.27:3000")


def sources(**changes: Any) -> dict[str, dict[str, Any]]:
    config = sources_config(arguments(**changes).sources())
    assert config["prune"] is True
    return {datasource["uid"]: datasource for datasource in config["datasources"]}


def test_the_usual_sources_are_metrics_alerts_and_logs() -> None:
    sources_by_uid = sources()
    assert [(uid, source["type"]) for uid, source in sources_by_uid.items()] == [
        ("metrics", "prometheus"),
        ("alerts", "alertmanager"),
        ("logs", "grafana-opensearch-datasource"),
    ]
    assert [uid for uid, source in sources_by_uid.items() if source["isDefault"]] == ["metrics"]
    assert sources_by_uid["metrics"]["jsonData"]["timeInterval"] == "15s"
    assert sources_by_uid["alerts"]["jsonData"]["handleGrafanaManagedAlerts"] is False


@pytest.mark.parametrize(
    ("plugin", "place"), [(LogsPlugin.OPENSEARCH, "database"), (LogsPlugin.ELASTICSEARCH, "index")]
)
def test_each_plugin_is_told_the_alias_of_the_logs_where_it_looks_for_it(plugin: LogsPlugin, place: str) -> None:
    source = sources(logs=logs(plugin))["logs"]
    assert source["type"] == plugin.value
    assert source["jsonData"][place] == "logs-read"
    assert source["jsonData"]["timeField"] == "@timestamp"


def test_a_log_record_leads_to_its_trace_where_that_is_shown_after_a_login_of_its_own() -> None:
    [link] = sources()["logs"]["jsonData"]["dataLinks"]
    # Grafana takes one dollar away when it reads the file.
    assert link["url"] == f"{TRACE_PAGES.url}/trace/$${{__value.raw}}"
    assert "dataLinks" not in sources(trace_pages=None)["logs"]["jsonData"]


def test_grafana_uses_a_login_of_its_own_at_alertmanager_where_there_is_one() -> None:
    assert sources()["alerts"]["basicAuthUser"] == "operator"
    assert sources(alerts_user=login("grafana"))["alerts"]["basicAuthUser"] == "grafana"


def test_traces_are_asked_for_with_a_password_or_with_peoples_own_token() -> None:
    own = traces_source("https://jaeger:4180", None, None).entry()
    assert own["jsonData"]["oauthPassThru"] is True
    assert "basicAuth" not in own
    shared = traces_source("https://jaeger:16686", None, login("grafana")).entry()
    assert (shared["basicAuth"], shared["basicAuthUser"]) == (True, "grafana")
    assert "oauthPassThru" not in shared["jsonData"]


@pytest.mark.parametrize("url", ["http://query:9090", "https://query"])
def test_a_source_without_tls_or_port_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^data source x: its address is .*; it must be https://HOST:PORT"):
        Source(uid="x", type="prometheus", url=url, user=None, access_label=None)


def test_two_sources_of_one_name_are_refused() -> None:
    one = arguments().sources()[0]
    with pytest.raises(ValueError, match="each must occur once, and exactly one be the default"):
        sources_config([one, one])
