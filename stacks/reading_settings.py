"""Settings of what people read: database, Grafana, object storage, reports."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from components.telemetry.classification import CLASSES
from stacks import fields
from stacks.section import Entrance, Section

Mails = Annotated[tuple[fields.Mail, ...], Field(min_length=1)]
Networks = Annotated[tuple[fields.Cidr, ...], Field(min_length=1)]


class EmbeddedDatabase(Section):
    """PostgreSQL of the platform's own: how many servers follow, and which pod takes writes (after a promotion)."""

    standbys: fields.Count
    primary: Annotated[int, Field(ge=0)]


class ExternalDatabase(Section):
    """A database elsewhere, whose password is the secret ``databasePassword``; a public authority signs for it."""

    host: fields.Host
    port: fields.Port
    name: fields.Database
    user: fields.Database
    networks: Networks


class Database(Section):
    """Where Grafana keeps its content: exactly one of both."""

    embedded: EmbeddedDatabase | None
    external: ExternalDatabase | None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.embedded is None) == (self.external is None):
            raise fields.not_allowed("exactly one of embedded and external, and null for the other")
        if self.embedded and self.embedded.primary > self.embedded.standbys:
            raise fields.not_allowed(f"for primary the number of a pod, 0 to {self.embedded.standbys}")
        return self


class RoleGroups(Section):
    """Group of each of Grafana's roles."""

    viewer: fields.Dn
    editor: fields.Dn
    admin: fields.Dn


class Ldap(Section):
    """The directory that people are in (LDAPS); its password and authority are the secret ``directorySecrets``."""

    host: fields.Host
    port: fields.Port
    networks: Networks
    bind_dn: fields.Dn
    search_base: fields.Dn
    search_filter: fields.LdapFilter
    group_base: fields.Dn
    group_filter: fields.LdapFilter
    groups: RoleGroups


class Grafana(Section):
    """Dashboards and who may see them.

    Attributes:
        entrance: Where people reach them.
        time_zone: Of everybody who has not chosen another one.
        ldap: Who people are.
        trace_clearance: Most restricted class of traces that everybody in the three groups is cleared for, or null:
            then traces are links to the pages of the traces, with a login of their own.
    """

    entrance: Entrance
    time_zone: fields.Zone
    ldap: Ldap
    trace_clearance: str | None

    @model_validator(mode="after")
    def _known_class(self) -> Self:
        if self.trace_clearance not in (None, *CLASSES):
            raise fields.not_allowed(f"one of {', '.join(CLASSES)}, or null, for trace_clearance")
        return self


class Storage(Section):
    """S3-compatible object storage; ``endpoint`` null: AWS. Keys and authority: secret ``objectStorageSecrets``."""

    endpoint: fields.Url | None
    region: fields.Name
    bucket: fields.Bucket
    networks: Networks
    port: fields.Port


class Recipients(Section):
    """Who gets which report by mail."""

    daily: Mails
    weekly: Mails
    monthly: Mails


class Reports(Section):
    """Reports that people get: the first of the languages is the mail's."""

    time_zone: fields.Zone
    languages: Annotated[tuple[Literal["ja", "en"], ...], Field(min_length=1, max_length=2)]
    recipients: Recipients
