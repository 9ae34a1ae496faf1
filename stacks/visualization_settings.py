"""Settings of visualization: database, Grafana, object storage, reports."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from components.grafana.login import same_site
from components.telemetry.classification import CLASSES
from stacks import field_types
from stacks.base_model import ExternalEndpoint, SettingsModel

Mails = Annotated[tuple[field_types.Mail, ...], Field(min_length=1)]
Networks = Annotated[tuple[field_types.Cidr, ...], Field(min_length=1)]
_HTTPS = 443


def _port(url: str) -> int | None:
    """Port of an https address; None where it names none that there is."""
    try:
        return urlsplit(url).port or _HTTPS
    except ValueError:
        return None


class EmbeddedDatabase(SettingsModel):
    """PostgreSQL of the platform's own: how many servers follow, and which pod takes writes (after a promotion)."""

    standbys: field_types.Count
    primary: Annotated[int, Field(ge=0)]


class ExternalDatabase(SettingsModel):
    """A database elsewhere, whose password is the secret ``databasePassword``; a public authority signs for it."""

    host: field_types.Host
    port: field_types.Port
    name: field_types.Database
    user: field_types.Database
    networks: Networks


class Database(SettingsModel):
    """Where Grafana keeps its content: exactly one of both."""

    embedded: EmbeddedDatabase | None
    external: ExternalDatabase | None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.embedded is None) == (self.external is None):
            raise field_types.not_allowed("exactly one of embedded and external, and null for the other")
        if self.embedded and self.embedded.primary > self.embedded.standbys:
            raise field_types.not_allowed(f"for primary the number of a pod, 0 to {self.embedded.standbys}")
        return self


class RoleGroups(SettingsModel):
    """Group of each of Grafana's roles."""

    viewer: field_types.Dn
    editor: field_types.Dn
    admin: field_types.Dn


class Ldap(SettingsModel):
    """The directory that people are in (LDAPS); its password and authority are the secret ``directorySecrets``."""

    host: field_types.Host
    port: field_types.Port
    networks: Networks
    bind_dn: field_types.Dn
    search_base: field_types.Dn
    search_filter: field_types.LdapFilter
    group_base: field_types.Dn
    group_filter: field_types.LdapFilter
    groups: RoleGroups


class OidcGroups(SettingsModel):
    """Group of each of Grafana's roles, as the provider's claim ``groups`` names it."""

    viewer: field_types.Name
    editor: field_types.Name
    admin: field_types.Name

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len({self.viewer, self.editor, self.admin}) < len(OidcGroups.model_fields):
            raise field_types.not_allowed("a group of its own for each role")
        return self


class Oidc(SettingsModel):
    """An OpenID Connect provider that people may sign in at, beside the directory; a public authority signs for it.

    The password of the client is the secret ``grafanaOidcSecret``. The provider sends people back to
    ``/login/generic_oauth`` of the external endpoint.

    Attributes:
        issuer: Who the provider says it is.
        client_id: The client that Grafana is there.
        authorize_url: Where browsers are sent to; under one domain with the external endpoint.
        token_url: Where Grafana gets tokens.
        userinfo_url: Where it asks who somebody is.
        networks: Where these two are.
        groups: Who gets which role; who is in none of the groups is not let in.
    """

    issuer: field_types.Url
    client_id: field_types.Name
    authorize_url: field_types.Url
    token_url: field_types.Url
    userinfo_url: field_types.Url
    networks: Networks
    groups: OidcGroups

    @model_validator(mode="after")
    def _one_port(self) -> Self:
        ports = [_port(url) for url in (self.token_url, self.userinfo_url)]
        if None in ports or len(set(ports)) > 1:
            raise field_types.not_allowed(
                "one port, 1 to 65535, in both token_url and userinfo_url (443 where none is named)"
            )
        return self

    @property
    def port(self) -> int:
        """Port of the provider, for pods."""
        return _port(self.token_url) or _HTTPS


class Grafana(SettingsModel):
    """Dashboards and who may see them.

    Attributes:
        external_endpoint: Where people reach them.
        time_zone: Of everybody who has not chosen another one.
        ldap: Who people are.
        oidc: Where else they may sign in, or null.
        trace_clearance: Most restricted class of traces that everybody in the three groups is cleared for, or null:
            then traces are links to the pages of the traces, with a login of their own.
    """

    external_endpoint: ExternalEndpoint
    time_zone: field_types.Zone
    ldap: Ldap
    oidc: Oidc | None
    trace_clearance: str | None

    @model_validator(mode="after")
    def _one_site(self) -> Self:
        if self.oidc and not same_site(f"https://{self.external_endpoint.host}", self.oidc.authorize_url):
            raise field_types.not_allowed(
                f"an oidc.authorize_url under one domain with external_endpoint.host "
                f"({self.external_endpoint.host}): browsers do not "
                "send the login's cookie (SameSite=Strict) when they come back from another site"
            )
        return self

    @model_validator(mode="after")
    def _known_class(self) -> Self:
        if self.trace_clearance not in (None, *CLASSES):
            raise field_types.not_allowed(f"one of {', '.join(CLASSES)}, or null, for trace_clearance")
        return self


class Storage(SettingsModel):
    """S3-compatible object storage; ``endpoint`` null: AWS. Keys and authority: secret ``objectStorageSecrets``."""

    endpoint: field_types.Url | None
    region: field_types.Name
    bucket: field_types.Bucket
    networks: Networks
    port: field_types.Port


class Recipients(SettingsModel):
    """Who gets which report by mail."""

    daily: Mails
    weekly: Mails
    monthly: Mails


class Reports(SettingsModel):
    """Reports that people get: the first of the languages is the mail's."""

    time_zone: field_types.Zone
    languages: Annotated[tuple[Literal["ja", "en"], ...], Field(min_length=1, max_length=2)]
    recipients: Recipients
