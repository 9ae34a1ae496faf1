"""Settings of the stages that have many: traces, alerting, visualization, backups, the pair of regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from components.alerting.escalation import LEVELS, milliseconds
from components.alertmanager.receivers import FIRST, Channel
from components.alertmanager.receivers import Contact as AlertContact
from components.grafana.login import same_site
from components.rules import Severity
from components.storage_roles import StorageRole
from components.telemetry.attributes import CLASSES
from components.telemetry.fields import not_allowed
from stacks import field_types
from stacks.field_types import ExternalEndpoint, SettingsModel


class Identity(SettingsModel):
    """The OpenID Connect provider that people and tools sign in at.

    Its passwords are the secret ``observability:identitySecrets``.

    Attributes:
        issuer: Issuer URL; its port is the one that the networks are reached at.
        client_id: Client of the trace queries.
        tool_client_id: Client of the command line tools (client credentials), or null: tools take ``--token-file``.
        networks: Where the provider is.
    """

    issuer: field_types.Url
    client_id: field_types.Name
    tool_client_id: field_types.Name | None
    networks: tuple[field_types.Cidr, ...] = Field(min_length=1)

    @property
    def port(self) -> int:
        """Port of the issuer's address."""
        return urlsplit(self.issuer).port or 443

    @model_validator(mode="after")
    def _has_a_port(self) -> Self:
        try:
            allowed = self.port > 0
        except ValueError:
            allowed = False
        if not allowed:
            raise not_allowed("an issuer whose port is 1 to 65535")
        return self


class Traces(SettingsModel):
    """Who may read which class of traces, and where.

    Attributes:
        groups: Class -> groups cleared for it, and so for the classes before it.
        queries: Class -> endpoint.
        identity: Where people sign in, or null: then there are no groups and no queries, and traces are read in Grafana
            (``grafana.trace_clearance``).
    """

    groups: dict[str, tuple[field_types.Name, ...]]
    queries: dict[str, ExternalEndpoint]
    identity: Identity | None

    @model_validator(mode="after")
    def _all_classes(self) -> Self:
        if self.identity is None:
            if self.groups or self.queries:
                raise not_allowed("{} for groups and queries where identity is null: nobody could sign in there")
            return self
        for name, given in (("groups", self.groups), ("queries", self.queries)):
            if set(given) != set(CLASSES):
                raise not_allowed(f"exactly the classes {', '.join(CLASSES)} under {name}")
        if not all(self.groups.values()):
            raise not_allowed("at least one group for every class")
        return self


class SignInPage(ExternalEndpoint):
    """Where people reach a login, and the groups whose members are let in."""

    groups: Annotated[tuple[field_types.Name, ...], Field(min_length=1)]


class SignIn(SettingsModel):
    """Logins of people's own accounts at ``traces.identity``, in front of servers that know no people.

    Attributes:
        metrics: In front of Thanos Query: its groups may query every metric.
        alerts: In front of Alertmanager: its groups may read alerts and silence them.
    """

    metrics: SignInPage
    alerts: SignInPage


_UNUSED = {"phone": ("phone", "false"), "sms": ("sms_topic", "null"), "mail": ("mail", "null")}
"""Channel -> the key of a contact that it has no use of, and what is there then."""
CONTACTS = (FIRST, "senior-manager", "on-call-engineer", "team-leader")
"""Who can be notified: first, and after 5 minutes, 30 minutes and 4 hours (requirement 6.2)."""


class Contact(SettingsModel):
    """One audience, and the channels that reach it, if any; keys and Slack webhooks are in ``alertingSecrets``."""

    mail: field_types.Mail | None
    phone: bool
    sms_topic: field_types.Arn | None
    slack: bool


class Phone(SettingsModel):
    """The paging service: an address that takes PagerDuty's events, version 2."""

    url: field_types.Url


class Sms(SettingsModel):
    """Text messages through SNS; ``url`` null means AWS' own address."""

    region: field_types.Name
    url: field_types.Url | None


class Mail(SettingsModel):
    """The mail server, ``host:port`` (STARTTLS), its user, and whom notifications come from."""

    server: field_types.HostPort
    sender: field_types.Mail
    user: field_types.Word


class Channels(SettingsModel):
    """Where notifications are handed over. The addresses that are secrets themselves are in ``alertingSecrets``.

    Attributes:
        phone: The paging service, or null: then no contact has a ``phone``.
        sms: Text messages, or null: then no contact has an ``sms_topic``.
        mail: The mail server, of the reports too, or null: then no contact has a ``mail``.
    """

    phone: Phone | None
    sms: Sms | None
    mail: Mail | None

    @property
    def addresses(self) -> tuple[str, ...]:
        """``host:port`` of the pager and the mail server, where they are."""
        pager = (host_port(self.phone.url),) if self.phone else ()
        return (*pager, *((self.mail.server,) if self.mail else ()))


def host_port(url: str) -> str:
    """``host:port`` of an address that begins with https://."""
    place = url.partition("://")[2].partition("/")[0]
    return place if ":" in place else f"{place}:443"


SHORTEST: Mapping[str, str] = {"critical": "2m", "high": "5m", "medium": "15m"}
"""Shortest delays of the escalation: they include a notification's way and the wait for others of its group."""


class Escalation(SettingsModel):
    """Within which time the next contact is notified of an alert that nobody acknowledged, per priority."""

    critical: field_types.Minutes
    high: field_types.Minutes
    medium: field_types.Minutes

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        for name, shortest in SHORTEST.items():
            if milliseconds(getattr(self, name)) < milliseconds(shortest):
                raise not_allowed(f"{shortest} or more for {name}: a notification takes some of it on its way")
        return self


class Alerting(SettingsModel):
    """Who is notified, when, and how.

    Attributes:
        external_endpoint: Where people and tools read alerts and acknowledge them.
        contacts: Audience -> its channels.
        channels: Where notifications are handed over.
        heartbeat: Whether a dead man's switch outside is told that the platform lives (its address is in
            ``alertingSecrets``).
        networks: Networks in which the receivers are; none where there is no receiver.
        ports: Their ports.
        escalation: Delays.
    """

    external_endpoint: ExternalEndpoint
    contacts: dict[str, Contact]
    channels: Channels
    heartbeat: bool = True
    networks: tuple[field_types.Cidr, ...]
    ports: tuple[field_types.Port, ...]
    escalation: Escalation

    @model_validator(mode="after")
    def _all_contacts(self) -> Self:
        if set(self.contacts) != set(CONTACTS):
            raise not_allowed(f"exactly the contacts {', '.join(CONTACTS)} under contacts")
        for channel, (key, unused) in _UNUSED.items():
            users = [name for name, contact in self.contacts.items() if getattr(contact, key)]
            if users and getattr(self.channels, channel) is None:
                raise not_allowed(f"{unused} for the {key} of {', '.join(users)} where channels.{channel} is null")
        if (self.tells or self.heartbeat) and not (self.networks and self.ports):
            raise not_allowed("at least one of the receivers' networks and of their ports")
        if bool(self.networks) != bool(self.ports):
            raise not_allowed("the receivers' networks and their ports together, or neither")
        return self

    @property
    def reached(self) -> dict[str, tuple[Channel, ...]]:
        """Contact -> the channels that reach it."""
        return {name: AlertContact(**contact.model_dump()).channels for name, contact in self.contacts.items()}

    @property
    def tells(self) -> bool:
        """Whether anybody is told of anything."""
        return any(self.reached.values())

    @property
    def pages(self) -> bool:
        """Whether anybody is paged."""
        return any(contact.phone for contact in self.contacts.values())

    @property
    def steps(self) -> dict[Severity, str]:
        """Priority -> contact that is told of alerts that nobody acknowledged; only those who have a channel."""
        return {severity: contact for severity, contact in LEVELS.items() if self.reached[contact]}


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
    """A database elsewhere; its password, and who signs its certificate, are in the secret ``databaseSecrets``."""

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
            raise not_allowed("exactly one of embedded and external, and null for the other")
        if self.embedded and self.embedded.primary > self.embedded.standbys:
            raise not_allowed(f"for primary the number of a pod, 0 to {self.embedded.standbys}")
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
            raise not_allowed("a group of its own for each role")
        return self


class Oidc(SettingsModel):
    """An OpenID Connect provider that people may sign in at, beside the directory.

    The password of the client, and who signs for the provider, are in the secret ``grafanaOidcSecrets``. The provider
    sends people back to ``/login/generic_oauth`` of the external endpoint.

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
            raise not_allowed("one port, 1 to 65535, in both token_url and userinfo_url (443 where none is named)")
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
        ldap: Who people are, or null: without ``oidc`` too, the administrator is the only account.
        oidc: Where else they may sign in, or null.
        trace_clearance: Most restricted class of traces that everybody in the three groups is cleared for, or null:
            then traces are links to the pages of the traces, with a login of their own.
    """

    external_endpoint: ExternalEndpoint
    time_zone: field_types.Zone
    ldap: Ldap | None
    oidc: Oidc | None
    trace_clearance: str | None

    @model_validator(mode="after")
    def _one_site(self) -> Self:
        if self.oidc and not same_site(f"https://{self.external_endpoint.host}", self.oidc.authorize_url):
            raise not_allowed(
                f"an oidc.authorize_url under one domain with external_endpoint.host "
                f"({self.external_endpoint.host}): browsers do not "
                "send the login's cookie (SameSite=Strict) when they come back from another site"
            )
        return self

    @model_validator(mode="after")
    def _known_class(self) -> Self:
        if self.trace_clearance not in (None, *CLASSES):
            raise not_allowed(f"one of {', '.join(CLASSES)}, or null, for trace_clearance")
        return self


class Storage(SettingsModel):
    """S3-compatible object storage; ``endpoint`` null: AWS. Keys and authority are secrets."""

    endpoint: field_types.Url | None
    region: field_types.Name
    bucket: field_types.Bucket
    networks: Networks
    port: field_types.Port


def _once(roles: tuple[StorageRole, ...]) -> tuple[StorageRole, ...]:
    if len(set(roles)) != len(roles):
        raise not_allowed("each role once")
    return roles


def _encryption(value: object) -> object:
    if value not in ("SSE-S3", None):
        raise not_allowed("SSE-S3, or null for a storage that refuses to be asked")
    return value


class ObjectStorage(Storage):
    """S3-compatible object storage of the region; ``endpoint`` null: AWS. Keys and authority are secrets.

    Attributes:
        roles: Roles with a key of their own, in the secret ``objectStorageRoles``; all others share the common key.
        encryption: How it is asked to encrypt blocks of metrics (what we write ourselves is encrypted before it gets
            there); null: it is not asked, and encrypts as the bucket says, for a storage that refuses to be asked, as
            MinIO without a KMS does.
    """

    roles: Annotated[tuple[StorageRole, ...], AfterValidator(_once)] = ()
    encryption: Annotated[Literal["SSE-S3"] | None, BeforeValidator(_encryption)] = "SSE-S3"


class Recipients(SettingsModel):
    """Who gets which report by mail."""

    daily: Mails
    weekly: Mails
    monthly: Mails


class Reports(SettingsModel):
    """Reports that people get: the first of the languages is the mail's.

    Attributes:
        recipients: Who gets them by mail; null where ``alerting.channels.mail`` is null: they are stored only.
    """

    time_zone: field_types.Zone
    languages: Annotated[tuple[Literal["ja", "en"], ...], Field(min_length=1, max_length=2)]
    recipients: Recipients | None


class Schedules(SettingsModel):
    """When each job runs, in the time zone of the backups."""

    database: field_types.Cron
    grafana: field_types.Cron
    kafka_metadata: field_types.Cron
    search: field_types.Cron


class KeepDays(SettingsModel):
    """For how many days each kind is kept; the newest one is kept for ever."""

    database: field_types.Count
    grafana: field_types.Count
    kafka_metadata: field_types.Count
    search: field_types.Count
    archive: field_types.Count
    metrics: field_types.Count


class Backups(SettingsModel):
    """Copies in the object storage; who can open them is the secret ``backupRecipients``.

    Attributes:
        time_zone: Time zone of the schedules.
        schedules: When each job runs.
        keep_days: For how long.
        search: ``export``: documents and index definitions are written by a job; null: the search cluster is not
            backed up.
        metrics_block: Time that one block of metrics covers before it is shipped.
    """

    time_zone: field_types.Zone
    schedules: Schedules
    keep_days: KeepDays
    search: Literal["export"] | None
    metrics_block: field_types.Minutes


class ClusterAudit(SettingsModel):
    """The API server's audit webhook. Token, certificate and key: secret ``clusterAuditSecrets``.

    Attributes:
        address: Cluster IP that the API server posts to, free, and of the range of Services.
    """

    address: field_types.ClusterIp


class Audit(SettingsModel):
    """What the audit log is told besides logs and commands.

    Attributes:
        cluster: Requests at the API server, or null where its audit log cannot be sent here, as on managed clusters.
    """

    cluster: ClusterAudit | None


DNS_NAMES = ("otlp",)
"""What moves from region to region by name: where the layers send their telemetry."""


class Peer(SettingsModel):
    """The other region.

    Attributes:
        stack: Its stack, by its full name: passwords and certificates come from its outputs.
        region: Its name.
        bootstrap: ``host:port`` of every broker's external listener there.
        networks: Where these are.
    """

    stack: field_types.Stack
    region: field_types.Name
    bootstrap: Annotated[tuple[field_types.HostPort, ...], Field(min_length=1)]
    networks: Annotated[tuple[field_types.Cidr, ...], Field(min_length=1)]


class Dns(SettingsModel):
    """Names in Route 53 that a failover changes.

    Attributes:
        zone: The hosted zone.
        names: What moves -> its name; part of the certificates in both regions.
        ttl_s: How long others may keep an answer.
        endpoint: Address of the API, or null for AWS' own.
    """

    zone: field_types.Host
    names: dict[str, field_types.Host]
    ttl_s: field_types.Count
    endpoint: field_types.Url | None

    @model_validator(mode="after")
    def _all_names(self) -> Self:
        if set(self.names) != set(DNS_NAMES):
            raise not_allowed(f"exactly {', '.join(DNS_NAMES)} under names")
        return self


class Regions(SettingsModel):
    """The pair of regions.

    Attributes:
        peer: The other region, or null where there is none.
        witness: A bucket in neither region: there both read which region is active. Keys: secret ``witnessSecrets``.
            Null where there is no peer and never a failover.
        dns: Names that move, or null.
        credentials: Stack that the layers' passwords come from, so that one set is good in both regions; null: they are
            made here.
        groups: Consumer groups of others whose place in Kafka is kept in step too.
    """

    peer: Peer | None
    witness: Storage | None
    dns: Dns | None
    credentials: field_types.Stack | None
    groups: tuple[field_types.Name, ...]
