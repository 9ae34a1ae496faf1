"""Grafana: only over TLS, only for people who logged in, on a verified database, and without alerts of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from policy.model import Finding, Options, Resource, Rule
from policy.rules import _formats
from policy.rules._formats import true
from policy.rules._grafana import Grafana, Setting, grafanas
from policy.rules._values import each_known, finding
from policy.rules.database_clients import problem


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
    login = _formats.connection(url.value)
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
        url = _formats.connection(setting.value) if key == "url" else None
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
