"""A stack file as typed values: the only reader of the Pulumi configuration.

Every mistake becomes one line that names the key, the value, what is allowed and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

import pulumi
from pydantic import Field, ValidationError, model_validator

from components.telemetry.topics import TOPIC_NAMES
from components.versions import IMAGES
from stacks import backup_settings, fields, reading_settings, region_settings
from stacks.alert_settings import Alerting
from stacks.complaints import complaints
from stacks.section import Entrance, Outside, Section
from stacks.trace_settings import Traces

CONFIG_NAMESPACE = "observability"
CONFIG_KEY = "settings"
ROLE_KEY = "role"
MIN_BROKERS = 3
ProfileName = Literal["small", "small-standby", "production", "production-standby"]


class Role(StrEnum):
    """What a region is at present; a failover changes it, nothing else in the stack file."""

    PRIMARY = "primary"
    STANDBY = "standby"


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


class Profiles(Section):
    """Sizes of everything, by role; see ``stacks.profile``."""

    primary: ProfileName
    standby: ProfileName

    def of(self, role: Role) -> str:
        """Name of the profile in a role."""
        return self.primary if role is Role.PRIMARY else self.standby


class Settings(Section):
    """Everything that a stack file says.

    Attributes:
        platform: Name of the platform; identifiers follow from it, so it never changes.
        region: Region that it runs in.
        profile: Sizes of everything, by role.
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
        regions: The other region, and who of both tells people.
    """

    platform: fields.Name
    region: fields.Name
    profile: Profiles
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
    regions: region_settings.Regions

    @model_validator(mode="after")
    def _all_topics(self) -> Self:
        if set(self.topics) != set(TOPIC_NAMES):
            raise fields.not_allowed(f"exactly the topics {', '.join(TOPIC_NAMES)} under topics")
        return self

    @model_validator(mode="after")
    def _two_regions(self) -> Self:
        peer, witness = self.regions.peer, self.regions.witness
        if peer and peer.region == self.region:
            raise fields.not_allowed(f"another regions.peer.region than this one's own ({self.region})")
        if witness.bucket == self.object_storage.bucket:
            raise fields.not_allowed(
                f"a regions.witness.bucket of its own ({witness.bucket} is this region's object_storage.bucket): "
                "it has to be there when this region is not"
            )
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


def role() -> Role:
    """The role of the current stack.

    Raises:
        SettingsError: It is missing or none.
    """
    file = f"Pulumi.{pulumi.get_stack()}.yaml"
    found = pulumi.Config(CONFIG_NAMESPACE).get(ROLE_KEY)
    if found not in tuple(Role):
        raise SettingsError(
            f"{file}: {CONFIG_NAMESPACE}:{ROLE_KEY} is {_shown(found)}: allowed is {' or '.join(Role)}; run "
            f"`pulumi config set {CONFIG_NAMESPACE}:{ROLE_KEY} {Role.PRIMARY}`, or `ops failover` where a region moves"
        )
    return Role(found)


def _shown(content: object) -> str:
    return "missing" if content is None else repr(content)
