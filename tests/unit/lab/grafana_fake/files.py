"""Files of the fake that are right, for tests that break one thing in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab.fakes.grafana import settings
from lab.fakes.grafana.settings import Ini, Settings

INI: dict[tuple[str, str], str] = {
    ("server", "protocol"): "https",
    ("server", "http_port"): "3000",
    ("server", "cert_file"): "/etc/tls/tls.crt",
    ("server", "cert_key"): "/etc/tls/tls.key",
    ("database", "type"): "postgres",
    ("database", "host"): "postgres.obs.svc:5432",
    ("database", "user"): "grafana",
    ("database", "password"): "database-password",
    ("database", "ssl_mode"): "verify-full",
    ("database", "ca_cert_path"): "/etc/trust/ca.crt",
    ("security", "admin_password"): "administrators-password",
    ("security", "secret_key"): "key-of-the-test",
    ("security", "cookie_secure"): "true",
    ("security", "cookie_samesite"): "strict",
    ("unified_alerting", "enabled"): "false",
    ("snapshots", "enabled"): "false",
    ("public_dashboards", "enabled"): "false",
    ("metrics", "basic_auth_username"): "scraper",
    ("metrics", "basic_auth_password"): "scrapers-password",
    ("log.console", "format"): "json",
}


def write_ini(folder: Path, change: Mapping[tuple[str, str], str | None]) -> Path:
    """The file with some settings changed, and those without a value left out."""
    sections: dict[str, list[str]] = {}
    for (section, key), value in (INI | dict(change)).items():
        if value is not None:
            sections.setdefault(section, []).append(f"{key} = {value}")
    path = folder / "grafana.ini"
    path.write_text("\n".join(line for name, lines in sections.items() for line in (f"[{name}]", *lines)) + "\n")
    return path


def read(
    folder: Path,
    change: Mapping[tuple[str, str], str | None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from the file with some of them changed."""
    return settings.load(Ini(write_ini(folder, change or {}), environment or {}), folder)
