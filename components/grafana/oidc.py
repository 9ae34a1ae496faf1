"""Login by OpenID Connect beside the directory, where a stack asks for it (requirement G5)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import pulumi

from components.contracts import OidcEndpoint
from components.grafana.ldap import Groups
from components.grafana.process import OIDC_AUTHORITY, OIDC_SECRET, PUBLIC_AUTHORITIES, SECRETS_DIRECTORY, from_file

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
