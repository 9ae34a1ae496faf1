"""Grafana: only over TLS, only for people who logged in, on a verified database, and without alerts of its own.

Rules read effective settings: defaults, ini files, and ``GF_`` variables above them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from policy.documents import ini
from policy.model import Finding, Options, Resource, Rule
from policy.rules import _values
from policy.rules._servers import Container, Mounted, Variable, Variables, containers
from policy.rules._values import each_known, finding, true
from policy.rules.database import problem

_NAMES: Final = ("grafana", "grafana-oss", "grafana-enterprise", "grafana-server")
_SECTIONS: Final = frozenset({"server", "database", "security", "users", "auth.anonymous", "unified_alerting"})
_FILE_REFERENCE = re.compile(r"\$__(file|env|vault)\{([^}]*)\}|\$\{([^}]*)\}|\$([A-Z_][A-Z0-9_]*)")
_DEFAULTS: Final[Mapping[tuple[str, str], str]] = {
    ("server", "protocol"): "http",
    ("database", "type"): "sqlite3",
    ("database", "ssl_mode"): "disable",
    ("security", "admin_password"): "admin",
    ("security", "secret_key"): "the published one",
    ("security", "cookie_secure"): "false",
    ("security", "cookie_samesite"): "lax",
    ("security", "disable_gravatar"): "false",
    ("security", "allow_embedding"): "false",
    ("security", "strict_transport_security"): "false",
    ("server", "router_logging"): "false",
    ("log", "mode"): "console file",
    ("log", "filters"): "",
    ("log.console", "format"): "console",
    ("users", "allow_sign_up"): "false",
    ("auth.anonymous", "enabled"): "false",
    ("unified_alerting", "enabled"): "true",
    ("auth.proxy", "enabled"): "false",
    ("auth.jwt", "enabled"): "false",
    ("users", "auto_assign_org_role"): "Viewer",
    ("users", "viewers_can_edit"): "false",
    ("panels", "disable_sanitize_html"): "false",
    ("plugins", "allow_loading_unsigned_plugins"): "",
    ("snapshots", "external_enabled"): "true",
    ("public_dashboards", "enabled"): "true",
    ("security", "disable_brute_force_login_protection"): "false",
}


@dataclass(frozen=True)
class Setting:
    """A setting with its origin.

    Attributes:
        value: Text; empty when only the cluster knows it.
        resource: Who sets it; the workload for a default.
        where: Place in there.
        given: Whether anybody sets it.
        hidden: Whether the value lies in a Secret or a file.
    """

    value: str
    resource: Resource
    where: str
    given: bool
    hidden: bool


@dataclass(frozen=True, eq=False)
class Grafana:
    """One Grafana container with its settings."""

    container: Container
    mounted: Mounted
    variables: Variables
    given: Mapping[tuple[str, str], Setting]

    def of(self, section: str, key: str) -> Setting:
        """A setting, or Grafana's default."""
        setting = self.given.get((section, key))
        default = _DEFAULTS.get((section, key), "")
        if setting and not setting.value and not setting.hidden:
            return replace(setting, value=default)  # an empty entry means Grafana's default
        if setting:
            return setting
        self.mounted.missing()
        self.variables.missing()
        where = f"{self.container.node.path} ([{section}] {key})"
        return Setting(default, self.container.resource, where, given=False, hidden=False)

    def all(self) -> Iterator[tuple[str, str, Setting]]:
        """Every setting that is given."""
        for (section, key), setting in self.given.items():
            yield section, key, setting


def grafanas(resources: Sequence[Resource]) -> Iterator[Grafana]:
    """Every Grafana of a stack: by program or image, by ``GF_`` variables, or by a mounted Grafana ini."""
    for resource in resources:
        for container in containers(resource):
            variables = container.variables(resources)
            named = container.runs(*_NAMES) or any(name.startswith("GF_") for name in variables)
            mounted = container.mounted(resources)
            inis = [(file, ini(file.text)) for file in mounted.files if file.name.endswith(".ini")]
            if named or any(_SECTIONS & set(content) for _, content in inis):
                yield Grafana(container, mounted, variables, _given(container, variables, mounted))


def _given(container: Container, variables: Mapping[str, Variable], mounted: Mounted) -> dict[tuple[str, str], Setting]:
    settings: dict[tuple[str, str], Setting] = {}
    for file in mounted.files:
        if not file.name.endswith(".ini"):
            continue
        secret = file.resource.kind == "Secret"
        for section, entries in ini(file.text).items():
            for key, value in entries.items():
                text, hidden = _resolved(value, variables)
                where = f"{file.name}: [{section}] {key}"
                settings[(section, key)] = Setting(text, file.resource, where, given=True, hidden=hidden or secret)
    known = {_variable(section, key): (section, key) for section, key in (*_DEFAULTS, *_MORE, *settings)}
    for name, variable in variables.items():
        bare = name.removesuffix("__FILE")
        if not variable.value and not variable.secret:
            continue  # Grafana takes no notice of empty variables
        if bare in known:
            hidden = bare != name or variable.secret
            value = "" if bare != name else variable.value or ""
            settings[known[bare]] = Setting(value, container.resource, variable.where, given=True, hidden=hidden)
        elif name.startswith("GF_"):
            settings[("", name)] = Setting(
                variable.value or "",
                container.resource,
                variable.where,
                given=True,
                hidden=variable.secret or bare != name,
            )
    return settings


_MORE: Final = (
    *(("database", key) for key in ("url", "host", "user", "password", "ca_cert_path", "server_cert_name")),
    ("server", "cert_file"),
    ("server", "cert_key"),
    ("auth.ldap", "enabled"),
    ("auth.ldap", "config_file"),
    ("auth.generic_oauth", "client_secret"),
    ("smtp", "password"),
)


def _variable(section: str, key: str) -> str:
    return "GF_" + f"{section}_{key}".upper().replace(".", "_").replace("-", "_")


def _resolved(value: str, variables: Mapping[str, Variable]) -> tuple[str, bool]:
    """Value of an ini entry with variables filled in, and whether it comes from outside the file."""
    match = _FILE_REFERENCE.fullmatch(value)
    if match is None:
        return value, False
    if match[1] in ("file", "vault"):
        return "", True
    variable = variables.get(match[2] or match[3] or match[4] or "")
    return (variable.value or "" if variable else "", variable is None or variable.secret)


@dataclass(frozen=True)
class _Wish:
    """What a setting must be."""

    section: str
    key: str
    wanted: str
    problem: str

    def holds(self, setting: Setting) -> bool:
        value = setting.value.lower()
        if self.wanted in ("true", "false"):
            return true(value) is (self.wanted == "true")
        return value in self.wanted.split(" or ")


_LOGIN: Final = (
    _Wish("auth.anonymous", "enabled", "false", "everybody sees dashboards without a login"),
    _Wish("users", "allow_sign_up", "false", "everybody may make an account"),
    _Wish("auth.proxy", "enabled", "false", "whoever sends a header is whoever the header names"),
    _Wish("auth.jwt", "enabled", "false", "tokens of another issuer are a login"),
    _Wish("users", "auto_assign_org_role", "viewer", "everybody who signs in may change or administer everything"),
    _Wish("users", "viewers_can_edit", "false", "everybody who signs in may query whatever the data sources have"),
    _Wish("security", "disable_brute_force_login_protection", "false", "passwords may be tried without end"),
)
_BROWSER: Final = (
    _Wish("security", "cookie_secure", "true", "the session cookie also travels in clear text"),
    _Wish("security", "cookie_samesite", "strict", "other sites may use the session cookie"),
    _Wish("security", "strict_transport_security", "true", "browsers may come back without TLS"),
    _Wish("panels", "disable_sanitize_html", "false", "a panel's text runs as a script of whoever looks at it"),
    _Wish("plugins", "allow_loading_unsigned_plugins", "", "a plugin that nobody signed runs inside Grafana"),
    _Wish("security", "allow_embedding", "false", "other sites may show Grafana in a frame and steal clicks"),
)
_SHARING: Final = (
    _Wish("security", "disable_gravatar", "true", "hashes of mail addresses go to a public service"),
    _Wish("snapshots", "external_enabled", "false", "dashboards with data may be published on a public server"),
    _Wish("public_dashboards", "enabled", "false", "dashboards may be published without a login"),
)
_NOT_READ: Final = "the audit log cannot read Grafana's log"
_LOGGED: Final = (
    _Wish("server", "router_logging", "true", "the audit log is told of no request that succeeds"),
    _Wish("log", "mode", "console", _NOT_READ),
    _Wish("log.console", "format", "json", f"{_NOT_READ}, which clients can forge as well"),
)
_FILTERS: Final = ("context:info", "context:debug")
_ALERTING: Final = (_Wish("unified_alerting", "enabled", "false", "every replica evaluates alerts of its own"),)


def _wishes(*wishes: _Wish) -> Callable[[Sequence[Resource], Options], Iterator[Finding]]:
    def check(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
        yield from each_known(_unmet(grafana, wish) for grafana in grafanas(resources) for wish in wishes)

    check.__module__ = __name__
    return check


def _unmet(grafana: Grafana, wish: _Wish) -> Iterator[Finding]:
    setting = grafana.of(wish.section, wish.key)
    if not wish.holds(setting):
        yield finding(
            setting.resource,
            setting.where,
            f"{wish.problem}: [{wish.section}] {wish.key} is {_shown(setting)}",
            f"set it to {wish.wanted}",
        )


def _audit(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from _wishes(*_LOGGED)(resources, options)
    yield from each_known(_filtered(grafana) for grafana in grafanas(resources))


def _filtered(grafana: Grafana) -> Iterator[Finding]:
    setting = grafana.of("log", "filters")
    if not set(_FILTERS) & set(setting.value.replace(",", " ").split()):
        yield finding(
            setting.resource,
            setting.where,
            f"requests may be left out of Grafana's log: [log] filters is {_shown(setting)}",
            f"add {_FILTERS[0]}",
        )


def _shown(setting: Setting) -> str:
    value = setting.value or "empty"
    return value if setting.given else f"{value}, the default" if setting.value else "not set"


def _server(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_served(grafana) for grafana in grafanas(resources))


def _served(grafana: Grafana) -> Iterator[Finding]:
    protocol = grafana.of("server", "protocol")
    if protocol.value not in ("https", "h2"):
        yield finding(
            protocol.resource,
            protocol.where,
            f"Grafana speaks clear text: [server] protocol is {_shown(protocol)}",
            "set it to https, with cert_file and cert_key",
        )
    for key in ("cert_file", "cert_key"):
        setting = grafana.of("server", key)
        if not setting.value and not setting.hidden:
            yield finding(
                setting.resource,
                setting.where,
                f"Grafana has no certificate: [server] {key} is {_shown(setting)}",
                "set it to the workload's certificate",
            )


def _database(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_stored(grafana) for grafana in grafanas(resources))


def _stored(grafana: Grafana) -> Iterator[Finding]:
    url = grafana.of("database", "url")
    login = _values.connection(url.value)
    if login or url.hidden:
        wrong = problem(login) if login else ""
        if wrong:
            yield finding(
                url.resource, url.where, wrong, "append ?sslmode=verify-full&sslrootcert=<file of the platform CA>"
            )
        return
    kind = grafana.of("database", "type")
    if kind.value != "postgres":
        yield finding(
            kind.resource,
            kind.where,
            f"replicas of Grafana share nothing: [database] type is {_shown(kind)}",
            "set it to postgres",
        )
    mode = grafana.of("database", "ssl_mode")
    if mode.value != "verify-full":
        yield finding(
            mode.resource,
            mode.where,
            f"the database's identity is not verified: [database] ssl_mode is {_shown(mode)}",
            "set it to verify-full",
        )
    authority = grafana.of("database", "ca_cert_path")
    if not authority.value and not authority.hidden:
        yield finding(
            authority.resource,
            authority.where,
            f"no authority is named that the database is verified by: [database] ca_cert_path is {_shown(authority)}",
            "set it to the platform's CA",
        )


_SECRET_KEYS: Final = ("password", "secret", "secret_key", "token", "secret_key_id")


def _secrets(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    yield from each_known(_secret_settings(grafana) for grafana in grafanas(resources))


def _secret_settings(grafana: Grafana) -> Iterator[Finding]:
    for section, key, setting in grafana.all():
        name = key.lower().removesuffix("__file")
        inside = name in _SECRET_KEYS or name.endswith(tuple(f"_{secret_key}" for secret_key in _SECRET_KEYS))
        url = _values.connection(setting.value) if key == "url" else None
        if setting.hidden or not setting.value or not (inside or (url and url.password)):
            continue
        yield finding(
            setting.resource,
            setting.where,
            f"{f'[{section}] {key}' if section else key} is written in clear text",
            "read it from a Secret: a GF_..__FILE variable, secretKeyRef or $__file{...}",
        )
    for key, what in (("admin_password", "the administrator's password"), ("secret_key", "the key of stored secrets")):
        setting = grafana.of("security", key)
        if not setting.given or (setting.value == "admin" and setting.hidden):
            yield finding(
                setting.resource,
                setting.where,
                f"{what} is the one that everybody knows: [security] {key} is {_shown(setting)}",
                f"set GF_SECURITY_{key.upper()}__FILE to a file of a Secret",
            )


RULES: tuple[Rule, ...] = (
    Rule(
        id="grafana-tls",
        promise="Grafana is served over TLS.",
        why="Passwords and sessions would be read on the way.",
        sources=("G1",),
        stack=_server,
    ),
    Rule(
        id="grafana-database",
        promise="Grafana's replicas share a PostgreSQL whose certificate and name are verified.",
        why="Unshared, a login ends with its replica; unverified, a false database gets every password.",
        sources=("G1",),
        stack=_database,
    ),
    Rule(
        id="grafana-login",
        promise="Nobody sees anything in Grafana without an account that somebody gave them.",
        why="Dashboards show business figures and weaknesses.",
        sources=("G5",),
        stack=_wishes(*_LOGIN),
    ),
    Rule(
        id="grafana-browser",
        promise="Browsers keep Grafana's sessions to themselves.",
        why="A stolen session is a login.",
        sources=("G5",),
        stack=_wishes(*_BROWSER),
    ),
    Rule(
        id="grafana-sharing",
        promise="Nothing in Grafana goes to the public.",
        why="Dashboards show business figures and weaknesses, and what was published cannot be taken back.",
        sources=("G5",),
        stack=_wishes(*_SHARING),
    ),
    Rule(
        id="grafana-audit",
        promise="Grafana logs each request with its user, as the audit log reads it.",
        why="Who logged in, saw a dashboard or changed one is else told nowhere.",
        sources=("M1",),
        stack=_audit,
    ),
    Rule(
        id="grafana-alerting",
        promise="Grafana evaluates no alerts.",
        why="Each replica would notify once more, beside Alertmanager and its silences.",
        sources=("A1", "G1"),
        stack=_wishes(*_ALERTING),
    ),
    Rule(
        id="grafana-secrets",
        promise="Grafana's passwords and keys come from Secrets, and none is the published default.",
        why="Whoever may read ConfigMaps or pods would be administrator.",
        sources=("G5", "P2"),
        stack=_secrets,
    ),
)
