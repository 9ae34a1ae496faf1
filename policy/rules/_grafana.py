"""Grafana's effective settings: its defaults, its ini files, and ``GF_`` variables above them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from policy.model import Resource
from policy.rules import _formats
from policy.rules._mounts import Mounted, Variable, Variables
from policy.rules._servers import Container, containers

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
            inis = [(file, _formats.ini(file.text)) for file in mounted.files if file.name.endswith(".ini")]
            if named or any(_SECTIONS & set(content) for _, content in inis):
                yield Grafana(container, mounted, variables, _given(container, variables, mounted))


def _given(container: Container, variables: Mapping[str, Variable], mounted: Mounted) -> dict[tuple[str, str], Setting]:
    settings: dict[tuple[str, str], Setting] = {}
    for file in mounted.files:
        if not file.name.endswith(".ini"):
            continue
        secret = file.resource.kind == "Secret"
        for section, entries in _formats.ini(file.text).items():
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
