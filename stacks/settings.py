"""A stack file as typed values: the only reader of the Pulumi configuration.

Every mistake becomes one line that names the key, the value, what is allowed and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

import pulumi
from pydantic import Field, ValidationError, model_validator

from components.telemetry.classification import CLASSES
from components.telemetry.topics import TOPIC_NAMES
from components.versions import IMAGES
from stacks import backup_settings, fields, reading_settings
from stacks.alert_settings import Alerting
from stacks.complaints import complaints
from stacks.section import Entrance, Outside, Section

CONFIG_NAMESPACE = "observability"
CONFIG_KEY = "settings"
MIN_BROKERS = 3


class SettingsError(pulumi.RunError):
    """The stack file cannot be used; the message has one line per mistake, and no traceback follows it."""


class Cluster(Section):
    """The Kubernetes cluster.

    Attributes:
        context: Context of the kubeconfig, or null for the current one.
        domain: DNS domain of Services.
    """

    context: str | None
    domain: fields.Host


class Images(Section):
    """Where images come from; a digest pins an image beyond its tag."""

    registry: fields.Registry
    digests: dict[str, fields.Digest]

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = sorted(set(self.digests) - set(IMAGES))
        if unknown:
            raise fields.not_allowed(f"only the images {', '.join(sorted(IMAGES))}; remove {', '.join(unknown)}")
        return self


class Life(Section):
    """Life of certificates."""

    duration: fields.Hours
    renew_before: fields.Hours

    @model_validator(mode="after")
    def _renewed_in_time(self) -> Self:
        if int(self.renew_before[:-1]) * 2 > int(self.duration[:-1]):
            raise fields.not_allowed("a renew_before of at most half of duration")
        return self


class Certificates(Section):
    """Life of the authority's and of the workloads' certificates."""

    authority: Life
    workloads: Life


class Storage(Section):
    """StorageClass, and the size of each pod's volume."""

    storage_class: fields.Host
    kafka: fields.Size
    kafka_controller: fields.Size
    gateway: fields.Size
    prometheus: fields.Size
    search: fields.Size
    alertmanager: fields.Size
    database: fields.Size


class Kafka(Section):
    """Brokers: one external address each."""

    brokers: tuple[Outside, ...]
    client_cidrs: tuple[fields.Cidr, ...] = Field(min_length=1)
    load_balancer_annotations: dict[str, str]

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if len(self.brokers) < MIN_BROKERS:
            raise fields.not_allowed(f"at least {MIN_BROKERS} brokers, since every record has {MIN_BROKERS} copies")
        hosts = [broker.host for broker in self.brokers]
        if len(set(hosts)) != len(hosts):
            raise fields.not_allowed("a host of its own for every broker")
        return self


class Topic(Section):
    """Partitions (they may only grow) and retention of a topic."""

    partitions: fields.Count
    retention_days: fields.Count


class Prometheus(Section):
    """Replicas by name, and how long they keep samples."""

    replicas: tuple[fields.Name, ...] = Field(min_length=2)
    retention_time: fields.Days
    retention_size: fields.ByteSize

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len(set(self.replicas)) != len(self.replicas):
            raise fields.not_allowed("replica names that differ")
        return self


class Search(Section):
    """Kind of search cluster, and how long it keeps what."""

    engine: Literal["opensearch", "elasticsearch"]
    trace_days: fields.Count
    log_days: fields.Count


class IdentityDouble(Entrance):
    """A stand-in for an identity provider: users with their groups; passwords are made."""

    users: dict[fields.Name, tuple[fields.Name, ...]] = Field(min_length=1)


class IdentityProvider(Section):
    """An OpenID Connect provider outside: issuer, client, and the networks where it is (port 443).

    The client's password is the secret ``observability:oidcClientSecret``.
    """

    issuer: fields.Url
    client_id: fields.Name
    networks: tuple[fields.Cidr, ...] = Field(min_length=1)


class Identity(Section):
    """Where people sign in: exactly one of both."""

    double: IdentityDouble | None
    provider: IdentityProvider | None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.double is None) == (self.provider is None):
            raise fields.not_allowed("either double or provider, and null for the other")
        return self


class Traces(Section):
    """Who may read which class of traces, and where.

    Attributes:
        groups: Class -> groups cleared for it, and so for the classes before it.
        queries: Class -> entrance.
        identity: Where people sign in.
    """

    groups: dict[str, tuple[fields.Name, ...]]
    queries: dict[str, Entrance]
    identity: Identity

    @model_validator(mode="after")
    def _all_classes(self) -> Self:
        for name, given in (("groups", self.groups), ("queries", self.queries)):
            if set(given) != set(CLASSES):
                raise fields.not_allowed(f"exactly the classes {', '.join(CLASSES)} under {name}")
        if not all(self.groups.values()):
            raise fields.not_allowed("at least one group for every class")
        return self


class Settings(Section):
    """Everything that a stack file says.

    Attributes:
        platform: Name of the platform; identifiers follow from it, so it never changes.
        region: Region that it runs in.
        profile: Sizes of everything, see ``stacks.profile``.
        namespace: Kubernetes namespace, made by the program.
        protect: Refuse to delete the namespace and the topics.
        runbook_base: Where the runbooks are read.
        cluster, images, certificates, storage, kafka, topics, prometheus: See there.
        gateway: Where the layers send their telemetry.
        query: Where metrics are read.
        search: Where traces and logs are kept.
        traces: Where traces are read.
        alerting: Who is told of alerts, and how.
        database, grafana, object_storage, reports: What people read, and where it is kept.
        backups: Copies in the object storage.
    """

    platform: fields.Name
    region: fields.Name
    profile: Literal["small", "production", "standby"]
    namespace: fields.Name
    protect: bool
    runbook_base: fields.Url
    cluster: Cluster
    images: Images
    certificates: Certificates
    storage: Storage
    kafka: Kafka
    topics: dict[str, Topic]
    gateway: Entrance
    prometheus: Prometheus
    query: Entrance
    search: Search
    traces: Traces
    alerting: Alerting
    database: reading_settings.Database
    grafana: reading_settings.Grafana
    object_storage: reading_settings.Storage
    reports: reading_settings.Reports
    backups: backup_settings.Backups

    @model_validator(mode="after")
    def _all_topics(self) -> Self:
        if set(self.topics) != set(TOPIC_NAMES):
            raise fields.not_allowed(f"exactly the topics {', '.join(TOPIC_NAMES)} under topics")
        return self


def parse(content: object, file: str) -> Settings:
    """Check the content of ``observability:settings``.

    Args:
        content: The value as Pulumi gives it.
        file: Name of the stack file, for messages.

    Raises:
        SettingsError: Something is missing, unknown or not allowed.
    """
    if not isinstance(content, Mapping):
        raise SettingsError(
            f"{file}: {CONFIG_NAMESPACE}:{CONFIG_KEY} is {_shown(content)}: allowed is a group of keys; "
            "compare Pulumi.prod.yaml"
        )
    try:
        return Settings.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise SettingsError("\n".join(f"{file}: {line}" for line in complaints(error, Settings, content))) from None


def load() -> Settings:
    """Read the settings of the current stack.

    Raises:
        SettingsError: They are missing or wrong.
    """
    file = f"Pulumi.{pulumi.get_stack()}.yaml"
    try:
        content: Any = pulumi.Config(CONFIG_NAMESPACE).get_object(CONFIG_KEY)
    except pulumi.ConfigTypeError:
        content = pulumi.Config(CONFIG_NAMESPACE).get(CONFIG_KEY)
    return parse(content, file)


def _shown(content: object) -> str:
    return "missing" if content is None else repr(content)
