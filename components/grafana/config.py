"""``grafana.ini`` as data (requirements G1, G5, P2, M1), for Grafana 12.3.

Passwords are never in it, only the names of the files that hold them. What Grafana 12.3 does not know is not in it
either: its old alerting, with a section of its own, is gone since version 11.
"""

from __future__ import annotations

import configparser
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.contracts import DatabaseEndpoint
from components.grafana.login import OidcLogin, oidc_settings
from components.grafana.process import (
    ADMINISTRATOR_SECRET,
    CONFIG_DIRECTORY,
    DATA_DIRECTORY,
    DATABASE_AUTHORITY,
    DATABASE_SECRET,
    KEY_SECRET,
    LDAP_FILE,
    METRICS_SECRET,
    PORT,
    PUBLIC_AUTHORITIES,
    SECRETS_DIRECTORY,
    from_file,
)
from components.k8s import TLS_MOUNT

Ini = Mapping[str, Mapping[str, str]]
"""Section -> key -> value."""

OFF, ON = "false", "true"
INACTIVE = "12h"
"""A session that nobody uses ends after so long: a working day's pause, not a weekend's."""
LONGEST = "24h"
"""A login is asked for again after so long at most: who was removed from the directory loses access within a day."""
ANSWER_LIMIT = 64 * 2**20
"""Bytes of a data source's answer, at most: two such answers still fit into a replica's memory."""
_LOCK_WAIT_S = 600


@dataclass(frozen=True, kw_only=True)
class GrafanaConfig:
    """What ``grafana.ini`` depends on.

    Attributes:
        url: Where browsers reach it, without a slash at the end.
        database: Where content and sessions are.
        connections: Connections of one replica to the database, at most.
        administrator: Login name of the account that makes the content.
        scraper: Login name of who reads the metrics.
        sources: ``host:port`` of every data source: the proxy asks no others.
        oidc: A further login, or None.
        directory: Whether people are in a directory; without one and without ``oidc``, the administrator is the only
            account.
    """

    url: str
    database: DatabaseEndpoint
    connections: int
    administrator: str
    scraper: str
    sources: Sequence[str]
    oidc: OidcLogin | None = None
    directory: bool = True


def grafana_config(settings: GrafanaConfig) -> Ini:
    """The complete configuration."""
    return {
        "paths": {"data": DATA_DIRECTORY, "provisioning": f"{CONFIG_DIRECTORY}/provisioning"},
        "server": _server(settings.url),
        "database": _database(settings.database, settings.connections),
        "remote_cache": {"type": "database"},
        "security": _security(settings),
        **_login_sections(settings.oidc, directory=settings.directory),
        **_nothing_outside(),
        **_observed(settings.scraper),
        "dataproxy": {
            "timeout": "30",
            "dialTimeout": "5",
            "response_limit": str(ANSWER_LIMIT),
            # Bodies of queries may name people; who asked what is in the log of requests, by path.
            "logging": OFF,
        },
        "dashboards": {"versions_to_keep": "50", "min_refresh_interval": "10s"},
        # It would need a message broker to reach people at another replica.
        "live": {"max_connections": "0"},
        # A user's mistake must not fill the database that everybody's sessions are in.
        "quota": {
            "enabled": ON,
            "org_user": "5000",
            "org_dashboard": "1000",
            "org_data_source": "20",
            "org_alert_rule": "0",
            "user_org": "1",
            "global_user": "5000",
            "global_org": "1",
            "global_dashboard": "1000",
            "global_session": "-1",
            "global_alert_rule": "0",
        },
    }


def _server(url: str) -> dict[str, str]:
    return {
        "protocol": "https",
        "min_tls_version": "TLS1.2",
        "http_addr": "0.0.0.0",  # noqa: S104  (a pod's own address; a NetworkPolicy says who reaches it)
        "http_port": str(PORT),
        "domain": url.removeprefix("https://").rpartition(":")[0],
        "root_url": f"{url}/",
        # Programs inside the cluster come by another name than browsers.
        "enforce_domain": OFF,
        "serve_from_sub_path": OFF,
        "cert_file": f"{TLS_MOUNT}/tls.crt",
        "cert_key": f"{TLS_MOUNT}/tls.key",
        "certs_watch_interval": "1m",
        "enable_gzip": ON,
        "router_logging": ON,
    }


def _database(database: DatabaseEndpoint, connections: int) -> dict[str, str]:
    return {
        "type": "postgres",
        "host": f"{database.host}:{database.port}",
        "name": database.name,
        "user": database.user.username,
        "password": from_file(DATABASE_SECRET),
        "ssl_mode": "verify-full",
        "ca_cert_path": _authority(database),
        "server_cert_name": database.host,
        "max_open_conn": str(connections),
        "max_idle_conn": str(max(2, connections // 4)),
        "conn_max_lifetime": "3600",
        # Beside the order of the replicas: a roll to another version migrates too.
        "migration_locking": ON,
        "locking_attempt_timeout_sec": str(_LOCK_WAIT_S),
        "log_queries": OFF,
    }


def _authority(database: DatabaseEndpoint) -> str:
    """File with who signs the database's certificate."""
    if database.authority is None:
        return f"{TLS_MOUNT}/ca.crt"
    return f"{SECRETS_DIRECTORY}/{DATABASE_AUTHORITY}" if database.authority else PUBLIC_AUTHORITIES


def _security(settings: GrafanaConfig) -> dict[str, str]:
    return {
        "disable_initial_admin_creation": OFF,
        "admin_user": settings.administrator,
        "admin_password": from_file(ADMINISTRATOR_SECRET),
        "secret_key": from_file(KEY_SECRET),
        "cookie_secure": ON,
        "cookie_samesite": "strict",
        "allow_embedding": OFF,
        "strict_transport_security": ON,
        "strict_transport_security_max_age_seconds": "31536000",
        "content_security_policy": ON,
        "x_content_type_options": ON,
        "x_xss_protection": ON,
        "disable_gravatar": ON,
        "disable_brute_force_login_protection": OFF,
        "data_source_proxy_whitelist": " ".join(settings.sources),
    }


def _login_sections(oidc: OidcLogin | None, *, directory: bool) -> dict[str, Mapping[str, str]]:
    """Who comes in: people of the directory, perhaps of a provider, and the one administrator."""
    return {
        "users": {
            "allow_sign_up": OFF,
            "allow_org_create": OFF,
            "auto_assign_org": ON,
            "auto_assign_org_id": "1",
            "auto_assign_org_role": "Viewer",
            "default_theme": "system",
        },
        "auth": {
            "disable_login_form": OFF,
            "login_maximum_inactive_lifetime_duration": INACTIVE,
            "login_maximum_lifetime_duration": LONGEST,
            "token_rotation_interval_minutes": "10",
            "oauth_allow_insecure_email_lookup": OFF,
        },
        "service_accounts": {"token_expiration_day_limit": "90"},
        "auth.anonymous": {"enabled": OFF, "hide_version": ON},
        # The way of the program that makes the content.
        "auth.basic": {"enabled": ON},
        "auth.proxy": {"enabled": OFF},
        "auth.jwt": {"enabled": OFF},
        "auth.ldap": _DIRECTORY if directory else {"enabled": OFF},
        "auth.generic_oauth": oidc_settings(oidc) if oidc else {"enabled": OFF},
    }


_DIRECTORY = {
    "enabled": ON,
    "config_file": f"{CONFIG_DIRECTORY}/{LDAP_FILE}",
    # Who is in one of the three groups gets an account at the first login; nobody else can have one.
    "allow_sign_up": ON,
    "skip_org_role_sync": OFF,
}


def _nothing_outside() -> dict[str, Mapping[str, str]]:
    """Nothing is published, fetched or reported, and Grafana raises no alerts."""
    return {
        "unified_alerting": {"enabled": OFF},
        "snapshots": {"enabled": OFF, "external_enabled": OFF, "public_mode": OFF},
        "public_dashboards": {"enabled": OFF},
        "analytics": {
            "reporting_enabled": OFF,
            "check_for_updates": OFF,
            "check_for_plugin_updates": OFF,
            "feedback_links_enabled": OFF,
        },
        "news": {"news_feed_enabled": OFF},
        # Releases before 13 know the switch of it as a feature, later ones as a setting.
        "cloud_migration": {"enabled": OFF},
        "feature_toggles": {"onPremToCloudMigrations": OFF},
        "plugins": {
            "plugin_admin_enabled": OFF,
            "preinstall_disabled": ON,
            "public_key_retrieval_disabled": ON,
            "app_tls_skip_verify_insecure": OFF,
        },
        "smtp": {"enabled": OFF},
        "panels": {"disable_sanitize_html": OFF},
    }


def _observed(scraper: str) -> dict[str, Mapping[str, str]]:
    """Metrics behind a password, and a log of every request, who made it and from where (requirement M1)."""
    return {
        "metrics": {
            "enabled": ON,
            "basic_auth_username": scraper,
            "basic_auth_password": from_file(METRICS_SECRET),
            "disable_total_stats": OFF,
            "total_stats_collector_interval_seconds": "60",
        },
        # Logins stay in the log where somebody raises the level of the rest.
        "log": {"mode": "console", "level": "info", "filters": "authn.service:info ldap:info context:info"},
        "log.console": {"level": "info", "format": "json"},
    }


def ini_text(content: Ini) -> str:
    """Sections as the text of an ini file.

    Raises:
        ValueError: A value has a line break, or a sign that begins a comment; the message names its key.
    """
    parser = configparser.RawConfigParser(delimiters=("=",), default_section="\0none")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    for section, entries in content.items():
        for key, value in entries.items():
            if any(sign in value for sign in ("\n", "\r", "#", ";")):
                raise ValueError(f"[{section}] {key} is {value!r}: it may have no line break, # or ;")
        parser[section] = entries
    written = io.StringIO()
    parser.write(written)
    return written.getvalue().strip() + "\n"
