"""Login by the directory over verified LDAPS, as ``ldap.toml`` says; people prove themselves by a bind of their own."""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import parse_dn

from lab.fakes.grafana.settings import SettingsError, expanded

ROLES: Final = ("Viewer", "Editor", "Admin")
"""Roles in the organization, lowest first."""

_SERVER: Final = (
    *("host", "port", "use_ssl", "start_tls", "tls_ciphers", "min_tls_version", "ssl_skip_verify", "root_ca_cert"),
    *("root_ca_cert_value", "client_cert", "client_key", "client_cert_value", "client_key_value", "bind_dn"),
    *("bind_password", "timeout", "search_filter", "search_base_dns", "group_search_filter"),
    *("group_search_filter_user_attribute", "group_search_base_dns", "attributes", "group_mappings"),
)
_ATTRIBUTES: Final = {"name": "", "surname": "", "username": "", "member_of": "", "email": ""}
_MAPPING: Final = ("group_dn", "org_role", "org_id", "grafana_admin")
_NOT_OFFERED: Final = ("client_cert", "client_key", "client_cert_value", "client_key_value", "root_ca_cert_value")


@dataclass(frozen=True, kw_only=True)
class GroupMapping:
    """Role of a group's members; the first group that somebody is in counts.

    Attributes:
        group_dn: The group, or ``*`` for everybody.
        role: Role in the organization.
        server_admin: Whether members administrate the server as well.
    """

    group_dn: str
    role: str
    server_admin: bool


@dataclass(frozen=True, kw_only=True)
class DirectorySettings:
    """One directory.

    Attributes:
        hosts: Its servers, asked in this order.
        port: Port of all of them.
        ca_file: Authority of their certificates.
        bind_dn: Account that may search.
        bind_password: Its password.
        timeout_s: Limit of each step, in seconds.
        search_filter: Finds a person; ``%s`` is the login.
        search_bases: Where people are.
        group_filter: Finds groups of a person; ``%s`` is the value of ``group_user_attribute``.
        group_user_attribute: Attribute of the person, or ``dn``.
        group_bases: Where groups are.
        attributes: Grafana's names (name, surname, username, member_of, email) and the directory's.
        mappings: Roles of groups, first match counts.
    """

    hosts: tuple[str, ...]
    port: int
    ca_file: Path
    bind_dn: str
    bind_password: str = field(repr=False)
    timeout_s: int
    search_filter: str
    search_bases: tuple[str, ...]
    group_filter: str
    group_user_attribute: str
    group_bases: tuple[str, ...]
    attributes: Mapping[str, str]
    mappings: tuple[GroupMapping, ...]


def load(path: Path, environment: Mapping[str, str]) -> tuple[DirectorySettings, ...]:
    """Read the file.

    Raises:
        SettingsError: It cannot be read, or something in it is missing, unknown, or not safe.
    """
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise SettingsError(f"{path}: is not TOML") from None
    _closed(f"{path}: the file", content, ("servers", "verbose_logging"))
    servers = content.get("servers")
    if not isinstance(servers, list) or not servers:
        raise SettingsError(f"{path}: [[servers]] is missing; at least one directory is needed")
    return tuple(_server(f"{path}: servers[{index}]", server, environment) for index, server in enumerate(servers))


def _server(where: str, server: Mapping[str, Any], environment: Mapping[str, str]) -> DirectorySettings:
    _closed(where, server, _SERVER)

    def text(key: str, default: str = "") -> str:
        value = server.get(key, default)
        if not isinstance(value, str):
            raise SettingsError(f"{where}.{key} must be a text")
        value = expanded(f"{where}.{key}", value, environment) or default
        if not value:
            raise SettingsError(f"{where}.{key} is missing or empty")
        return value

    for key in _NOT_OFFERED:
        if server.get(key):
            raise SettingsError(f"{where}.{key} is not offered by the fake; use bind_dn and root_ca_cert")
    if server.get("use_ssl") is not True or server.get("start_tls", False) is not False:
        raise SettingsError(f"{where}.use_ssl must be true, without start_tls: the fake speaks LDAPS only")
    if server.get("ssl_skip_verify", False) is not False:
        raise SettingsError(f"{where}.ssl_skip_verify must be false: a false directory would get every password")
    filter_ = text("search_filter")
    group_filter = server.get("group_search_filter") or ""
    for key, value in (("search_filter", filter_), ("group_search_filter", group_filter or "%s")):
        if "%s" not in value:
            raise SettingsError(f"{where}.{key} must hold %s")
    attributes = server.get("attributes", {})
    _closed(f"{where}.attributes", attributes, tuple(_ATTRIBUTES))
    return DirectorySettings(
        hosts=tuple(text("host").split()),
        port=_number(f"{where}.port", server.get("port", 636), 1, 65535),
        ca_file=Path(text("root_ca_cert")),
        bind_dn=text("bind_dn"),
        bind_password=text("bind_password"),
        timeout_s=_number(f"{where}.timeout", server.get("timeout", 10), 1, 60),
        search_filter=filter_,
        search_bases=_texts(f"{where}.search_base_dns", server.get("search_base_dns")),
        group_filter=group_filter,
        group_user_attribute=server.get("group_search_filter_user_attribute") or "dn",
        group_bases=_texts(f"{where}.group_search_base_dns", server.get("group_search_base_dns"))
        if group_filter
        else (),
        attributes={"username": "cn", "email": "email", "member_of": "memberOf"} | dict(attributes),
        mappings=_mappings(where, server.get("group_mappings")),
    )


def _mappings(where: str, value: object) -> tuple[GroupMapping, ...]:
    if not isinstance(value, list) or not value:
        raise SettingsError(f"{where}.group_mappings is missing; without one everybody in the directory comes in")
    group_mappings = []
    for index, mapping in enumerate(value):
        place = f"{where}.group_mappings[{index}]"
        _closed(place, mapping, _MAPPING)
        if not isinstance(mapping.get("group_dn"), str) or not mapping["group_dn"]:
            raise SettingsError(f"{place}.group_dn is missing")
        if mapping.get("org_role") not in ROLES:
            raise SettingsError(f"{place}.org_role is {mapping.get('org_role')!r}; allowed: {', '.join(ROLES)}")
        if mapping.get("org_id", 1) != 1:
            raise SettingsError(f"{place}.org_id is {mapping['org_id']!r}; the fake has organization 1 only")
        group_mappings.append(
            GroupMapping(
                group_dn=mapping["group_dn"],
                role=mapping["org_role"],
                server_admin=mapping.get("grafana_admin") is True,
            )
        )
    return tuple(group_mappings)


def _closed(where: str, value: object, keys: tuple[str, ...]) -> None:
    if not isinstance(value, dict):
        raise SettingsError(f"{where} must be a table with the keys {', '.join(keys)}")
    for key in value:
        if key not in keys:
            raise SettingsError(f"{where}: {key} is no setting of Grafana; allowed: {', '.join(keys)}")


def _number(where: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{where} is {value!r}; it must be a whole number from {low} to {high}")
    return value


def _texts(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
        raise SettingsError(f"{where} must be a list of texts that is not empty")
    return tuple(value)


_SUCCESS: Final = 0
_NO_SUCH_OBJECT: Final = 32


class DirectoryAwayError(Exception):
    """The directory cannot be asked: away, not to be trusted, or the searching account is refused."""


class NotThereError(Exception):
    """The directory has no such person."""


class WrongPasswordError(Exception):
    """The person is there, the password is not theirs."""


class NoRoleError(Exception):
    """User and password are right, but no group of theirs gives a role."""


@dataclass(frozen=True, kw_only=True)
class DirectoryPerson:
    """Somebody who proved themselves.

    Attributes:
        login: Login, as the directory writes it.
        name: Full name.
        email: Mail address.
        role: Role in the organization.
        server_admin: Whether they administrate the server.
    """

    login: str
    name: str
    email: str
    role: str
    server_admin: bool


class Directories:
    """The directories, asked one after the other until one knows the person."""

    def __init__(self, settings: Sequence[DirectorySettings]) -> None:
        """Ask those directories."""
        self._directories = tuple(settings)

    def login(self, name: str, password: str) -> DirectoryPerson:
        """Prove a person.

        Raises:
            DirectoryAwayError: A directory cannot be asked.
            NotThereError: No directory knows that login.
            WrongPasswordError: The password is wrong.
            NoRoleError: No group gives a role.
        """
        if not name or not password:
            # An empty password would be an anonymous bind, which directories accept.
            raise WrongPasswordError
        for settings in self._directories:
            try:
                return _login(settings, name, password)
            except NotThereError:
                continue
        raise NotThereError


def _login(settings: DirectorySettings, name: str, password: str) -> DirectoryPerson:
    connection = _connected(settings)
    try:
        person = _find(connection, settings, name)
        groups = _groups(connection, settings, person)
        if not connection.rebind(user=person["dn"], password=password):
            raise WrongPasswordError
    except LDAPException as error:
        raise DirectoryAwayError(type(error).__name__) from None
    finally:
        _close(connection)
    mapping = role_of(groups, settings.mappings)
    if mapping is None:
        raise NoRoleError
    names = settings.attributes
    full = " ".join(filter(None, (_first(person, names.get(part, "")) for part in ("name", "surname"))))
    login = _first(person, names["username"]) or name
    return DirectoryPerson(
        login=login,
        name=full or login,
        email=_first(person, names["email"]),
        role=mapping.role,
        server_admin=mapping.server_admin,
    )


def role_of(groups: Iterable[str], mappings: Sequence[GroupMapping]) -> GroupMapping | None:
    """The first mapping that one of these groups (DNs) fulfils, however the DNs are written."""
    own = [_plain(group) for group in groups]
    for mapping in mappings:
        if mapping.group_dn == "*" or _plain(mapping.group_dn) in own:
            return mapping
    return None


def _connected(settings: DirectorySettings) -> Any:
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(settings.ca_file))
    reason = "no host"
    for host in settings.hosts:
        server = ldap3.Server(
            host,
            port=settings.port,
            use_ssl=True,
            tls=tls,
            get_info=ldap3.NONE,
            connect_timeout=settings.timeout_s,
        )
        connection = ldap3.Connection(
            server,
            user=settings.bind_dn,
            password=settings.bind_password,
            receive_timeout=settings.timeout_s,
            read_only=True,
        )
        try:
            if connection.bind():
                return connection
            reason = f"{host} refuses the searching account: {connection.result['description']}"
        except LDAPException as error:
            reason = f"{host}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        _close(connection)
    raise DirectoryAwayError(reason)


def _close(connection: Any) -> None:
    try:
        connection.unbind()
    except (LDAPException, OSError):
        return


def _find(connection: Any, settings: DirectorySettings, name: str) -> dict[str, Any]:
    wanted = settings.search_filter.replace("%s", escape_filter_chars(name))
    attributes = {value for value in settings.attributes.values() if value}
    if settings.group_user_attribute.lower() != "dn":
        attributes.add(settings.group_user_attribute)
    entries = [
        entry for base in settings.search_bases for entry in _search(connection, base, wanted, sorted(attributes))
    ]
    if not entries:
        raise NotThereError
    if len(entries) > 1:
        raise DirectoryAwayError("search_filter finds more than one person")
    return entries[0]


def _groups(connection: Any, settings: DirectorySettings, person: dict[str, Any]) -> list[str]:
    if not settings.group_filter:
        return list(_values(person, settings.attributes["member_of"]))
    attribute = settings.group_user_attribute
    value = person["dn"] if attribute.lower() == "dn" else _first(person, attribute)
    if not value:
        return []
    wanted = settings.group_filter.replace("%s", escape_filter_chars(value))
    return [entry["dn"] for base in settings.group_bases for entry in _search(connection, base, wanted, ["1.1"])]


def _search(connection: Any, base: str, wanted: str, attributes: list[str]) -> list[dict[str, Any]]:
    connection.search(base, wanted, attributes=attributes)
    if connection.result["result"] not in (_SUCCESS, _NO_SUCH_OBJECT):
        raise DirectoryAwayError(f"search in {base}: {connection.result['description']}")
    return [entry for entry in connection.response or [] if entry.get("type") == "searchResEntry"]


def _values(entry: dict[str, Any], attribute: str) -> Iterable[str]:
    for name, values in entry.get("raw_attributes", {}).items():
        if name.lower() == attribute.lower():
            return [value.decode("utf-8", "replace") for value in values]
    return []


def _first(entry: dict[str, Any], attribute: str) -> str:
    return next(iter(_values(entry, attribute)), "") if attribute else ""


def _plain(dn: str) -> object:
    try:
        return [(kind.lower(), value.lower()) for kind, value, _ in parse_dn(dn, strip=True)]
    except LDAPException:
        return dn.strip().lower()
