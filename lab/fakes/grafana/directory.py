"""Login by the directory over LDAPS: its certificate is verified, people prove themselves by a bind of their own."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import parse_dn

from lab.fakes.grafana.directory_settings import DirectorySettings, GroupMapping

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
