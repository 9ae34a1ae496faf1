"""Login to Grafana: the directory that people are in, as ``ldap.toml`` (requirement G5), and OpenID Connect beside it,
where a stack asks for it.

Three groups become Grafana's three roles. Who is in none of them is refused, whatever password they know. Nobody from
the directory becomes administrator of the server: that is the one account that makes the content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import pulumi

from components.contracts import OidcEndpoint
from components.grafana.process import (
    DIRECTORY_AUTHORITY,
    DIRECTORY_SECRET,
    OIDC_AUTHORITY,
    OIDC_SECRET,
    PUBLIC_AUTHORITIES,
    SECRETS_DIRECTORY,
    from_file,
)

_NAMED = "%s"


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Group of each role; for the directory: its distinguished name, for OpenID Connect: its value in the claim.

    Attributes:
        viewer: May look.
        editor: May change what the folders let editors change.
        admin: May change permissions, teams and people of the organization.
    """

    viewer: str
    editor: str
    admin: str

    def __post_init__(self) -> None:
        names = [self.viewer, self.editor, self.admin]
        if not all(names) or len(set(names)) != len(names):
            raise ValueError(
                f"groups are {', '.join(map(repr, names))} for viewer, editor, admin: name three different groups, "
                "else a role is given to whom it is not meant for"
            )

    def roles(self) -> tuple[tuple[str, str], ...]:
        """Group and role; the first group that somebody is in decides."""
        return ((self.admin, "Admin"), (self.editor, "Editor"), (self.viewer, "Viewer"))


@dataclass(frozen=True, kw_only=True)
class Directory:
    """An LDAP server, reached over TLS from the first byte (LDAPS).

    Attributes:
        host: Name (or address) to connect to and to verify in the certificate; several: with a space between.
        port: Its LDAPS port.
        networks: Where it is (for egress NetworkPolicies).
        bind_dn: Account that may search, and nothing else.
        search_base: Where people are.
        search_filter: Finds a person; ``%s`` is what they type as their name.
        group_base: Where groups are.
        group_filter: Finds the groups of a person; ``%s`` is the value of ``group_member``.
        groups: Group of each role.
        group_member: Attribute of a person that groups list; ``dn`` for the distinguished name.
        username: Attribute with the login name.
        mail: Attribute with the mail address.
        given_name: Attribute with the given name.
        family_name: Attribute with the family name.
    """

    host: str
    port: int
    networks: tuple[str, ...]
    bind_dn: str
    search_base: str
    search_filter: str
    group_base: str
    group_filter: str
    groups: Groups
    group_member: str = "dn"
    username: str = "uid"
    mail: str = "mail"
    given_name: str = "givenName"
    family_name: str = "sn"

    def __post_init__(self) -> None:
        for key, value in (("search_filter", self.search_filter), ("group_filter", self.group_filter)):
            if value.count(_NAMED) != 1 or not (value.startswith("(") and value.endswith(")")):
                raise ValueError(
                    f"ldap.{key} is {value!r}: write a filter in parentheses with one %s, for example (uid=%s)"
                )
        for key in ("host", "bind_dn", "search_base", "group_base"):
            if not getattr(self, key).strip():
                raise ValueError(f"ldap.{key} is empty: nobody could log in; name it")


def ldap_config(directory: Directory, *, private_authority: bool) -> dict[str, Any]:
    """The content of ``ldap.toml``.

    Args:
        directory: The server.
        private_authority: Whether its certificate is signed by an authority of its own, whose file is among the
            secrets, else by a public one.
    """
    authority = f"{SECRETS_DIRECTORY}/{DIRECTORY_AUTHORITY}" if private_authority else PUBLIC_AUTHORITIES
    return {
        "servers": [
            {
                "host": directory.host,
                "port": directory.port,
                "use_ssl": True,
                "start_tls": False,
                "ssl_skip_verify": False,
                "min_tls_version": "TLS1.2",
                "root_ca_cert": authority,
                "timeout": 10,
                "bind_dn": directory.bind_dn,
                "bind_password": from_file(DIRECTORY_SECRET),
                "search_base_dns": [directory.search_base],
                "search_filter": directory.search_filter,
                "group_search_base_dns": [directory.group_base],
                "group_search_filter": directory.group_filter,
                "group_search_filter_user_attribute": directory.group_member,
                "attributes": {
                    "username": directory.username,
                    "email": directory.mail,
                    "name": directory.given_name,
                    "surname": directory.family_name,
                    # With a search for groups: how a found group is told apart.
                    "member_of": "dn",
                },
                "group_mappings": [
                    {"group_dn": group, "org_role": org_role, "org_id": 1, "grafana_admin": False}
                    for group, org_role in directory.groups.roles()
                ],
            }
        ]
    }


def directory_files(secrets: pulumi.Input[Mapping[str, Any]]) -> dict[str, pulumi.Input[str]]:
    """File name -> secret.

    Args:
        secrets: ``bind_password``, and ``authority``: PEM of the authority that signs the directory's certificate,
            empty for a public one.
    """
    known: pulumi.Output[Mapping[str, Any]] = pulumi.Output.secret(secrets)
    return {
        DIRECTORY_SECRET: known.apply(lambda values: bind_password(str(values["bind_password"]))),
        DIRECTORY_AUTHORITY: known.apply(lambda values: str(values["authority"] or "")),
    }


def has_authority(secrets: pulumi.Input[Mapping[str, Any]]) -> pulumi.Output[bool]:
    """Whether the directory has an authority of its own; that alone is no secret."""
    known: pulumi.Output[Mapping[str, Any]] = pulumi.Output.from_input(secrets)
    return pulumi.Output.unsecret(known.apply(lambda values: bool(values["authority"])))


def bind_password(password: str) -> str:
    """The password, where Grafana can read it: it is filled into the text of ``ldap.toml`` before that is parsed.

    Raises:
        ValueError: It is empty or has a sign that would end the text it is filled into; the message does not show it.
    """
    if not password or any(sign in password for sign in ('"', "\\", "'", "\n", "\r", "$")):
        raise ValueError(
            "directorySecrets.bind_password is empty or has a quote, a backslash, a dollar or a line break: "
            "Grafana fills it into ldap.toml; give the account another password"
        )
    return password


def toml(content: Mapping[str, Any]) -> str:
    """Data as TOML: tables, lists of tables, texts, numbers, truth values and lists of texts.

    Python reads TOML and does not write it; a JSON text is a TOML text as well.
    """
    return "\n".join(_table((), content)).strip() + "\n"


def _table(path: Sequence[str], content: Mapping[str, Any]) -> Iterator[str]:
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping) or _tables(value)}
    yield from (
        f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in content.items() if key not in inner
    )
    for key, value in inner.items():
        name = ".".join((*path, key))
        for table in value if _tables(value) else [value]:
            yield ""
            yield f"[[{name}]]" if _tables(value) else f"[{name}]"
            yield from _table((*path, key), table)


def _tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


CALLBACK_PATH = "/login/generic_oauth"


@dataclass(frozen=True, kw_only=True)
class OidcLogin:
    """A provider that people may sign in at.

    Attributes:
        endpoint: The provider and the client that Grafana is there.
        authorize_url: Where browsers are sent to.
        token_url: Where Grafana gets tokens.
        userinfo_url: Where it asks who somebody is.
        groups: Group of each role, as the claim ``groups`` has them.
        name: What the login page calls it.
        forwarded: Whether the provider's access tokens are JWTs for the client of the trace queries: then Grafana may
            show them there, and everybody sees the traces that they themselves are cleared for, until the token ends.
    """

    endpoint: OidcEndpoint
    authorize_url: str
    token_url: str
    userinfo_url: str
    groups: Groups
    name: str = "Single sign-on"
    forwarded: bool = False


def same_site(url: str, authorize_url: str) -> bool:
    """Whether browsers take Grafana and the provider for one site."""
    return _site(url) == _site(authorize_url)


def check_site(login: OidcLogin, url: str) -> None:
    """Whether browsers bring the cookie of a login back from the provider.

    Session cookies are ``SameSite=Strict``, and so is the one that a login begins with: a browser that comes back from
    another site does not send it.

    Args:
        login: The provider.
        url: Where browsers reach Grafana.

    Raises:
        ValueError: The provider is of another site.
    """
    ours, theirs = _site(url), _site(login.authorize_url)
    if not same_site(url, login.authorize_url):
        raise ValueError(
            f"oidc.authorize_url is {login.authorize_url} and Grafana is {url}: browsers keep the login's cookie "
            f"(SameSite=Strict) when they come back from another site; give both a name under one domain "
            f"({theirs or 'the provider'} or {ours or 'Grafana'}), or leave oidc out"
        )


def oidc_settings(login: OidcLogin) -> dict[str, str]:
    """The section ``auth.generic_oauth``."""
    return {
        "enabled": "true",
        "name": login.name,
        "allow_sign_up": "true",
        "auto_login": "false",
        "client_id": login.endpoint.client_id,
        "client_secret": from_file(OIDC_SECRET),
        "scopes": "openid email profile groups",
        "auth_url": login.authorize_url,
        "token_url": login.token_url,
        "api_url": login.userinfo_url,
        "use_pkce": "true",
        "login_attribute_path": "preferred_username",
        "groups_attribute_path": "groups",
        "role_attribute_path": _roles(login.groups),
        "role_attribute_strict": "true",
        "allow_assign_grafana_admin": "false",
        "skip_org_role_sync": "false",
        "tls_skip_verify_insecure": "false",
        "tls_client_ca": f"{SECRETS_DIRECTORY}/{OIDC_AUTHORITY}" if login.endpoint.authority else PUBLIC_AUTHORITIES,
    }


def oidc_files(endpoint: OidcEndpoint) -> dict[str, pulumi.Input[str]]:
    """File name -> content that Grafana needs to sign people in at a provider."""
    authority: dict[str, pulumi.Input[str]] = {OIDC_AUTHORITY: endpoint.authority} if endpoint.authority else {}
    return {OIDC_SECRET: pulumi.Output.secret(endpoint.client_secret), **authority}


def _roles(groups: Groups) -> str:
    """JMESPath: the role of the first group that somebody is in, nothing (and so no login) for everybody else."""
    return " || ".join(f"contains(groups[*], '{group}') && '{org_role}'" for group, org_role in groups.roles())


def _site(url: str) -> str:
    host = urlsplit(url).hostname or ""
    try:
        return str(ip_address(host))
    except ValueError:
        return ".".join(host.split(".")[-2:])
