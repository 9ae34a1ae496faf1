"""grafana.ini as Grafana reads it (environment above the file, references filled in), and what the fake understands of
it; what it does not, it refuses with one line.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from lab.fakes.grafana import VERSION
from lab.fakes.grafana.known_settings import KNOWN, OPEN, expected, type_of

_REFERENCE = re.compile(r"\$(__file|__env|__vault|)\{([^}]*)\}")
_OWN = re.compile(r"%\((\w+)\)s")
_DURATION = re.compile(r"(\d+)(ms|[smhdwMy])")
_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "M": timedelta(days=30),
    "y": timedelta(days=365),
}
_TRUE: Final = ("1", "t", "true", "yes", "y", "on")
_FALSE: Final = ("0", "f", "false", "no", "n", "off")
_TOP: Final = "\0"
_OF_THE_IMAGE: Final = ("GF_PATHS_HOME", "GF_PATHS_CONFIG")


def duration_of(text: str) -> timedelta | None:
    """A duration as Grafana writes it; None where it is none."""
    parts = _DURATION.findall(text)
    if not parts or len(text) > 50 or "".join(f"{count}{unit}" for count, unit in parts) != text:
        return None
    try:
        return sum((int(count) * _UNITS[unit] for count, unit in parts), timedelta())
    except OverflowError:
        return None


class SettingsError(Exception):
    """What is wrong with the settings, in one line that says what to do; never with a secret in it."""


def expanded(where: str, value: str, environment: Mapping[str, str]) -> str:
    """Fill in ``$__file{PATH}``, ``$__env{NAME}`` and ``${NAME}``.

    Args:
        where: Name of the setting, for messages.
        value: Text of the setting.
        environment: Variables.

    Raises:
        SettingsError: A file cannot be read, or the kind of reference is not known.
    """

    def fill(match: re.Match[str]) -> str:
        kind, name = match[1], match[2].strip()
        if kind == "__file":
            try:
                return Path(name).read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no text"
                raise SettingsError(f"{where}: the file {name} cannot be read: {reason}") from None
        if kind == "__vault":
            raise SettingsError(f"{where}: $__vault{{}} is not offered; write $__file{{PATH}}")
        return environment.get(name, "")

    return _REFERENCE.sub(fill, value)


class Ini:
    """Settings by section and key."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        """Read a file.

        Raises:
            SettingsError: It cannot be read, is no ini file, or a reference in it cannot be filled in.
        """
        self._path, self._environment = path, environment
        parser = configparser.RawConfigParser(
            delimiters=("=",),
            comment_prefixes=("#", ";"),
            default_section=f"{_TOP}defaults",
            empty_lines_in_values=False,
        )
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            parser.read_string(f"[{_TOP}]\n{path.read_text()}", source=str(path))
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: is no ini file: {' '.join(str(error).split())}") from None
        self._sections = {
            "" if section == _TOP else section: {key: _unquoted(value) for key, value in parser.items(section)}
            for section in parser.sections()
        }
        for name in environment:
            if name.startswith("GF_") and name.endswith("__FILE"):
                raise SettingsError(
                    f"{name}: only the image's own entry script reads variables that end in __FILE, and it is not run; "
                    "write $__file{PATH} into the ini file"
                )

    def sections(self) -> tuple[str, ...]:
        """Sections that the file has; what stands before the first one is in the section without a name."""
        return tuple(name for name, entries in self._sections.items() if name or entries)

    def keys(self, section: str) -> tuple[str, ...]:
        """Keys that the file gives in a section."""
        return tuple(self._sections.get(section, {}))

    def text(self, section: str, key: str, default: str = "") -> str:
        """A setting's text; an empty one is the default.

        Raises:
            SettingsError: A reference in it cannot be filled in.
        """
        value = self._environment.get(variable(section, key)) or self._sections.get(section, {}).get(key, "")
        value = _OWN.sub(lambda match: self.text(section, match[1]), value)
        return expanded(self.name(section, key), value, self._environment) or default

    def flag(self, section: str, key: str, *, default: bool = False) -> bool:
        """A setting that is true or false.

        Raises:
            SettingsError: It is neither.
        """
        value = self.text(section, key).lower()
        if not value:
            return default
        if value not in (*_TRUE, *_FALSE):
            raise SettingsError(f"{self.name(section, key)} is {value!r}; it must be true or false")
        return value in _TRUE

    def number(self, section: str, key: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds.

        Raises:
            SettingsError: It is none, or out of bounds.
        """
        value = self.text(section, key, str(default))
        if not value.isdigit() or not low <= int(value) <= high:
            raise SettingsError(
                f"{self.name(section, key)} is {value!r}; it must be a whole number from {low} to {high}"
            )
        return int(value)

    def duration(self, section: str, key: str, default: str) -> timedelta:
        """A positive duration as Grafana writes it, for example ``7d``.

        Raises:
            SettingsError: It is none.
        """
        value = self.text(section, key, default)
        total = duration_of(value)
        if not total:
            raise SettingsError(f"{self.name(section, key)} is {value!r}; it must be a duration, for example 30m or 7d")
        return total

    def name(self, section: str, key: str) -> str:
        """A setting's name in messages."""
        return f"{self.place(section)} {key}"

    def place(self, section: str) -> str:
        """A section's name in messages."""
        return f"{self._path}: [{section}]"

    def variables(self) -> tuple[str, ...]:
        """Names of the variables that are meant as settings, those of the image's own script left out."""
        return tuple(name for name in self._environment if name.startswith("GF_") and name not in _OF_THE_IMAGE)


def variable(section: str, key: str) -> str:
    """The variable that goes before a setting in the file."""
    return f"GF_{section}_{key}".upper().replace(".", "_").replace("-", "_")


def _unquoted(value: str) -> str:
    for mark in ('"""', "`", '"', "'"):
        if len(value) >= 2 * len(mark) and value.startswith(mark) and value.endswith(mark):
            return value[len(mark) : -len(mark)]
    return value


_PUBLISHED_KEY: Final = "SW2YcwTIb9zpOOhoPsMm"
_TOP_PORT: Final = 65535
_OFF: Final = (
    ("unified_alerting", "enabled", True),
    ("public_dashboards", "enabled", True),
    ("snapshots", "enabled", True),
    ("auth.anonymous", "enabled", False),
    ("auth.generic_oauth", "enabled", False),
    ("auth.proxy", "enabled", False),
    ("auth.jwt", "enabled", False),
    ("users", "allow_sign_up", False),
    ("server", "serve_from_sub_path", False),
    ("security", "allow_embedding", False),
    ("auth.ldap", "skip_org_role_sync", False),
)


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """Where content and sessions are kept; always with the server's certificate and name verified.

    Attributes:
        host: Name of the server, as in its certificate.
        port: Its port.
        name: Name of the database.
        user: Whose tables they are.
        password: Password of that user.
        ca_file: Authority of the server's certificate.
        max_connections: Connections at once, at most.
        idle_connections: Connections that are kept open.
        lifetime_s: Age at which a connection is replaced, in seconds.
        lock_wait_s: How long a replica waits for another one's migration, in seconds.
    """

    host: str
    port: int
    name: str
    user: str
    password: str = field(repr=False)
    ca_file: Path
    max_connections: int
    idle_connections: int
    lifetime_s: float
    lock_wait_s: int


@dataclass(frozen=True, kw_only=True)
class LoginSettings:
    """Who comes in, and for how long.

    Attributes:
        admin_user: Login of the local administrator.
        admin_password: Its password at the first start.
        admin_email: Its mail address.
        secret_key: Key of the stored hashes of sessions.
        cookie: Name of the session's cookie.
        same_site: Its attribute of that name.
        inactive: Life of a session that nobody uses.
        longest: Life of any session.
        brute_force: Whether wrong passwords lead to a block.
        attempts: Wrong passwords until then.
        directory_file: Settings of the directory; none: local accounts only.
        sign_up: Whether people of the directory get an account at their first login.
        basic: Whether Basic auth is taken.
    """

    admin_user: str
    admin_password: str = field(repr=False)
    admin_email: str
    secret_key: str = field(repr=False)
    cookie: str
    same_site: str
    inactive: timedelta
    longest: timedelta
    brute_force: bool
    attempts: int
    directory_file: Path | None
    sign_up: bool
    basic: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the fake takes from grafana.ini.

    Attributes:
        host: Address to listen on.
        port: Port to listen on.
        cert_file: Certificate chain.
        key_file: Its key.
        log_requests: Whether every request is logged, not only logins and changes.
        database: Where content is kept.
        login: Who comes in.
        sources: Folder with the provisioned data sources.
        transport_security_s: Seconds for which browsers remember to come by HTTPS only; 0: not told.
        metrics: Whether ``/metrics`` is served.
        metrics_user: Who may read it.
        metrics_password: Password of that user.
        proxy_timeout_s: How long a data source may take to answer, in seconds.
        proxy_limit: Bytes of a data source's answer, at most.
        proxy_hosts: ``host:port`` that the proxy may ask; none: every data source.
        versions_to_keep: Versions of a dashboard that are kept.
        min_refresh: Dashboards may not refresh themselves more often.
        trusted_origins: Names of hosts whose pages may send changes.
    """

    host: str
    port: int
    cert_file: Path
    key_file: Path
    log_requests: bool
    database: DatabaseSettings
    login: LoginSettings
    sources: Path
    transport_security_s: int
    metrics: bool
    metrics_user: str
    metrics_password: str = field(repr=False)
    proxy_timeout_s: int
    proxy_limit: int
    proxy_hosts: tuple[str, ...]
    versions_to_keep: int
    min_refresh: timedelta
    trusted_origins: tuple[str, ...]


_ANSWER_LIMIT: Final = 64 * 1024 * 1024


def load(ini: Ini, home: Path) -> Settings:
    """Check and convert the settings.

    Args:
        ini: The file.
        home: Folder that relative paths begin at.

    Raises:
        SettingsError: Something is missing, unknown, or not offered by the fake.
    """
    _check_names(ini)
    for section, key, default in _OFF:
        if ini.flag(section, key, default=default):
            raise SettingsError(f"{ini.name(section, key)} is true; the fake does not offer it: set it to false")
    _must(ini, "server", "protocol", "http", "https")
    _must(ini, "log.console", "format", "console", "json")
    metrics = ini.flag("metrics", "enabled", default=True)
    hsts = ini.flag("security", "strict_transport_security")
    settings = Settings(
        host=ini.text("server", "http_addr", "0.0.0.0"),  # noqa: S104
        port=ini.number("server", "http_port", 3000, 0, _TOP_PORT),
        cert_file=Path(_needed(ini, "server", "cert_file")),
        key_file=Path(_needed(ini, "server", "cert_key")),
        log_requests=ini.flag("server", "router_logging"),
        database=_database(ini),
        login=_login(ini),
        sources=home / ini.text("paths", "provisioning", "conf/provisioning") / "datasources",
        transport_security_s=ini.number("security", "strict_transport_security_max_age_seconds", 86_400, 0, 10**9)
        if hsts
        else 0,
        metrics=metrics,
        metrics_user=_needed(ini, "metrics", "basic_auth_username") if metrics else "",
        metrics_password=_needed(ini, "metrics", "basic_auth_password") if metrics else "",
        proxy_timeout_s=ini.number("dataproxy", "timeout", 30, 1, 600),
        proxy_limit=ini.number("dataproxy", "response_limit", 0, 0, 10**10) or _ANSWER_LIMIT,
        proxy_hosts=tuple(ini.text("security", "data_source_proxy_whitelist").split()),
        versions_to_keep=ini.number("dashboards", "versions_to_keep", 20, 1, 1000),
        min_refresh=ini.duration("dashboards", "min_refresh_interval", "5s"),
        trusted_origins=tuple(ini.text("security", "csrf_trusted_origins").split()),
    )
    _check_types(ini)
    return settings


def _check_names(ini: Ini) -> None:
    """Refuse what Grafana would take no notice of."""
    for section in ini.sections():
        if section not in KNOWN and not section.startswith(OPEN):
            raise SettingsError(f"{ini.place(section)} is no section of Grafana {VERSION}")
        for key in ini.keys(section):
            if type_of(section, key) is None:
                raise SettingsError(
                    f"{ini.name(section, key)} is no setting of Grafana; allowed: {', '.join(KNOWN[section])}"
                )
    known = {variable(section, key) for section, names in KNOWN.items() for key in names}
    free = tuple(variable(name, "") for name, names in KNOWN.items() if "*" in names)
    free += tuple(variable(name.rstrip("."), "") for name in OPEN)
    for name in ini.variables():
        if name not in known and not name.startswith(free):
            near = [section for section in KNOWN if section and name.startswith(variable(section, ""))]
            if not near:
                raise SettingsError(f"{name} is no setting of Grafana {VERSION}")
            section = max(near, key=len)
            raise SettingsError(
                f"{name} is no setting of Grafana's section [{section}]; allowed: {', '.join(KNOWN[section])}"
            )


def _check_types(ini: Ini) -> None:
    """Refuse what Grafana would read as its default, since it is not of the setting's type."""
    set_by = set(ini.variables())
    for section in (*ini.sections(), *KNOWN):
        given = set(ini.keys(section))
        for key in {*given, *(option for option in KNOWN.get(section, {}) if variable(section, option) in set_by)}:
            value, kind = ini.text(section, key), type_of(section, key) or ""
            wanted = expected(kind, value) if value else ""
            if wanted:
                raise SettingsError(f"{ini.name(section, key)} is {value!r}; it must be {wanted}")


def _database(ini: Ini) -> DatabaseSettings:
    if ini.text("database", "url"):
        raise SettingsError(f"{ini.name('database', 'url')} is not offered by the fake; use host, name, user, password")
    _must(ini, "database", "type", "sqlite3", "postgres")
    _must(ini, "database", "ssl_mode", "disable", "verify-full")
    for key in ("client_key_path", "client_cert_path"):
        if ini.text("database", key):
            raise SettingsError(f"{ini.name('database', key)} is not offered by the fake; log in by password")
    name, _, port = _needed(ini, "database", "host").rpartition(":")
    if not name:
        name, port = port, "5432"
    if not port.isdigit() or not 0 < int(port) <= _TOP_PORT:
        raise SettingsError(f"{ini.name('database', 'host')} has the port {port!r}; write host:port")
    given = ini.text("database", "server_cert_name", name)
    if given != name:
        raise SettingsError(f"{ini.name('database', 'server_cert_name')} is {given!r}; it must be the host, {name!r}")
    if not ini.flag("database", "migration_locking", default=True):
        raise SettingsError(f"{ini.name('database', 'migration_locking')} is false; replicas would migrate at once")
    most = ini.number("database", "max_open_conn", 0, 0, 1000) or 20
    return DatabaseSettings(
        host=name,
        port=int(port),
        name=ini.text("database", "name", "grafana"),
        user=_needed(ini, "database", "user"),
        password=_needed(ini, "database", "password"),
        ca_file=Path(_needed(ini, "database", "ca_cert_path")),
        max_connections=most,
        idle_connections=min(most, ini.number("database", "max_idle_conn", 2, 0, 1000)),
        lifetime_s=float(ini.number("database", "conn_max_lifetime", 14_400, 1, 10**6)),
        lock_wait_s=ini.number("database", "locking_attempt_timeout_sec", 0, 0, 3600) or 60,
    )


def _login(ini: Ini) -> LoginSettings:
    key = _needed(ini, "security", "secret_key")
    password = _needed(ini, "security", "admin_password")
    if key == _PUBLISHED_KEY:
        raise SettingsError(f"{ini.name('security', 'secret_key')} is the published default; set one of your own")
    if password == "admin":  # noqa: S105
        raise SettingsError(f"{ini.name('security', 'admin_password')} is the published default; set one of your own")
    if not ini.flag("security", "cookie_secure"):
        raise SettingsError(f"{ini.name('security', 'cookie_secure')} must be true: the fake speaks HTTPS only")
    if ini.flag("security", "disable_initial_admin_creation"):
        raise SettingsError(f"{ini.name('security', 'disable_initial_admin_creation')} must be false in the fake")
    same_site = ini.text("security", "cookie_samesite", "lax").lower()
    if same_site not in ("lax", "strict", "none"):
        raise SettingsError(
            f"{ini.name('security', 'cookie_samesite')} is {same_site!r}; it must be lax, strict or none"
        )
    directory = ini.flag("auth.ldap", "enabled")
    return LoginSettings(
        admin_user=ini.text("security", "admin_user", "admin"),
        admin_password=password,
        admin_email=ini.text("security", "admin_email", "admin@localhost"),
        secret_key=key,
        cookie=ini.text("auth", "login_cookie_name", "grafana_session"),
        same_site=same_site.capitalize(),
        inactive=ini.duration("auth", "login_maximum_inactive_lifetime_duration", "7d"),
        longest=ini.duration("auth", "login_maximum_lifetime_duration", "30d"),
        brute_force=not ini.flag("security", "disable_brute_force_login_protection"),
        attempts=ini.number("security", "brute_force_login_protection_max_attempts", 5, 1, 1000),
        directory_file=Path(ini.text("auth.ldap", "config_file", "/etc/grafana/ldap.toml")) if directory else None,
        sign_up=ini.flag("auth.ldap", "allow_sign_up", default=True),
        basic=ini.flag("auth.basic", "enabled", default=True),
    )


def _needed(ini: Ini, section: str, key: str) -> str:
    value = ini.text(section, key)
    if not value:
        raise SettingsError(f"{ini.name(section, key)} is missing; the fake cannot do without it")
    return value


def _must(ini: Ini, section: str, key: str, default: str, wanted: str) -> None:
    value = ini.text(section, key, default)
    if value != wanted:
        raise SettingsError(f"{ini.name(section, key)} is {value!r}; the fake offers {wanted} only")
