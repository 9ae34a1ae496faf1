"""A stack file as typed values: the only reader of the Pulumi configuration.

Every mistake becomes one line that names the key, the value, what is allowed and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

import pulumi
from pydantic import ValidationError, field_validator, model_validator

from components.alertmanager.receivers import FIRST
from components.naming import size_of, size_text
from components.postgres.config import RESERVED_CONNECTIONS
from components.shards import largest_share
from components.telemetry import topics
from components.telemetry.fields import not_allowed
from components.telemetry.layers import TOPIC_OF_SIGNAL, Signal
from components.telemetry.topics import TOPIC_NAMES, TOPICS
from stacks import field_types, stage_settings
from stacks.field_types import ExternalEndpoint, SettingsModel, validation_errors
from stacks.part_settings import (
    MIN_BROKERS,
    Certificates,
    Cluster,
    Gateway,
    Images,
    Kafka,
    Load,
    Prometheus,
    Search,
    Storage,
    Topic,
)
from stacks.scheduling import Autoscaling, Scheduling, database_connections, scaled
from stacks.sizing import PROFILES
from stacks.stage_settings import Alerting, Traces

CONFIG_NAMESPACE = "observability"
CONFIG_KEY = "settings"
ROLE_KEY = "role"
ProfileName = Literal["small", "small-shared", "production"]
PRODUCTION: ProfileName = "production"
"""The profile that may not leave out what others may."""


class Role(StrEnum):
    """What a region is at present; a failover changes it, nothing else in the stack file."""

    PRIMARY = "primary"
    STANDBY = "standby"


class SettingsError(pulumi.RunError):
    """The stack file cannot be used; the message has one line per mistake, and no traceback follows it."""


class Settings(SettingsModel):
    """Everything that a stack file says.

    Attributes:
        platform: Name of the platform; identifiers follow from it, so it never changes.
        region: Region that it runs in.
        profile: Sizes of everything, the same in both roles; see ``stacks.sizing``.
        namespace: Kubernetes namespace, made by the program.
        protect: Refuse to delete the namespace.
        runbook_base: Where the runbooks are read.
        cluster, images, certificates, load, storage, kafka, prometheus: See there.
        scheduling: Where pods run and who they are.
        autoscaling: How many pods there are of what is scaled by its use, and whether sizes are recommended.
        load_balancers: What the load balancers of all external endpoints are told; each endpoint may differ.
        topics: Topics; what is left out is as ``components/telemetry/topics.py`` says.
        gateway: Where the layers send their telemetry, and what may pass besides the catalogue.
        query: Where metrics are read.
        search: Where traces and logs are kept.
        traces: Where traces are read.
        sign_in: Where people sign in to query metrics and to silence alerts, or null: then they share the logins of the
            stack's outputs.
        alerting: Who is notified of alerts, and how.
        database, grafana, object_storage, reports: What people read, and where it is kept.
        backups: Copies in the object storage.
        regions: The other region, and which of the two is active.
        audit: What the audit log is told.
    """

    platform: field_types.Name
    region: field_types.Name
    profile: ProfileName
    namespace: field_types.Name
    protect: bool
    runbook_base: field_types.Url
    cluster: Cluster
    images: Images
    scheduling: Scheduling
    autoscaling: Autoscaling
    certificates: Certificates
    load: Load
    storage: Storage
    load_balancers: field_types.LoadBalancer
    kafka: Kafka
    topics: dict[str, Topic]
    gateway: Gateway
    prometheus: Prometheus
    query: ExternalEndpoint
    search: Search
    traces: Traces
    sign_in: stage_settings.SignIn | None = None
    alerting: Alerting
    database: stage_settings.Database
    grafana: stage_settings.Grafana
    object_storage: stage_settings.ObjectStorage
    reports: stage_settings.Reports
    backups: stage_settings.Backups
    regions: stage_settings.Regions
    audit: stage_settings.Audit

    @property
    def controllers(self) -> int:
        """Dedicated controllers of Kafka; 0: its brokers vote."""
        own = self.kafka.controllers
        return PROFILES[self.profile].controllers if own is None else own

    def mirrored(self, role: Role) -> bool:
        """Whether the other region's Kafka is copied into this one."""
        return self.regions.peer is not None and role is Role.STANDBY

    @field_validator("topics", mode="before")
    @classmethod
    def _as_the_catalogue_says(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        defaults = {
            topic.name: {"partitions": topic.partitions, "retention_days": topic.retention_days} for topic in TOPICS
        }
        changed = {
            name: {**defaults.get(name, {}), **entry} if isinstance(entry, dict) else entry
            for name, entry in given.items()
        }
        return defaults | changed

    @field_validator("topics")
    @classmethod
    def _topics_that_there_are(cls, topics: dict[str, Topic]) -> dict[str, Topic]:
        unknown = sorted(set(topics) - set(TOPIC_NAMES))
        if unknown:
            raise not_allowed(
                f"only the topics {', '.join(TOPIC_NAMES)}; remove {', '.join(unknown)}, or add it to "
                "components/telemetry/topics.py"
            )
        for topic in TOPICS:
            if (partitions := topics[topic.name].partitions) < topic.partitions:
                raise not_allowed(
                    f"at least {topic.partitions} for {topic.name}.partitions, which is {partitions}: Kafka cannot "
                    "take partitions away"
                )
        return topics

    @model_validator(mode="after")
    def _volumes_hold_the_load(self) -> Self:
        load = topics.Load(**self.load.model_dump())
        days = {signal: self.topics[topic].retention_days for signal, topic in TOPIC_OF_SIGNAL.items()}
        broker = topics.broker_volume(load, days, brokers=len(self.kafka.brokers), copies=MIN_BROKERS)
        if broker > size_of(self.storage.kafka):
            raise not_allowed(
                f"a storage.kafka of at least {size_text(broker)} (it is {self.storage.kafka}) for the load "
                "and the topics' retention_days, or less of these"
            )
        prometheus, kept = self.prometheus, int(self.prometheus.retention_time[:-1])
        partitions = self.topics[TOPIC_OF_SIGNAL[Signal.METRICS]].partitions
        if prometheus.shards > partitions:
            raise not_allowed(
                f"at most {partitions} for prometheus.shards, which is {prometheus.shards}: a shard reads whole "
                f"partitions of {TOPIC_OF_SIGNAL[Signal.METRICS]}"
            )
        samples = topics.samples_size(load, kept) * largest_share(partitions, prometheus.shards)
        if samples > size_of(prometheus.retention_size):
            raise not_allowed(
                f"a prometheus.retention_size of at least {-(-samples // 2**20):.0f}MB (it is "
                f"{prometheus.retention_size}) for load.points and {prometheus.retention_time}, less of these, or "
                f"more than {prometheus.shards} prometheus.shards"
            )
        if size_of(prometheus.retention_size) > topics.USABLE * size_of(self.storage.prometheus):
            raise not_allowed(
                f"a storage.prometheus of which prometheus.retention_size ({prometheus.retention_size}) takes at most "
                f"{topics.USABLE:.0%}"
            )
        return self

    @model_validator(mode="after")
    def _the_database_takes_every_grafana(self) -> Self:
        sizing = scaled(PROFILES[self.profile], self.autoscaling)
        room, most = sizing.visualization.connections - RESERVED_CONNECTIONS, database_connections(sizing)
        if self.database.embedded and most > room:
            pods = room // sizing.visualization.grafana_connections
            raise not_allowed(
                f"an autoscaling.horizontal.grafana.maximum of at most {pods}: its pods have {most} connections to the "
                f"database, which has {room} for them"
            )
        return self

    @model_validator(mode="after")
    def _the_peak_is_above_the_load(self) -> Self:
        for name, average in self.load.model_dump().items():
            if getattr(self.gateway.peak, name) < average:
                raise not_allowed(
                    f"a gateway.peak.{name} of at least load.{name} ({average}): gateways refuse what is above it"
                )
        return self

    @model_validator(mode="after")
    def _somebody_is_told(self) -> Self:
        if self.profile == PRODUCTION and not self.alerting.reached[FIRST]:
            raise not_allowed(
                f"at least one of mail, phone, sms_topic and slack for alerting.contacts.{FIRST} with profile "
                f"{PRODUCTION}: critical alerts would reach nobody otherwise"
            )
        if self.profile == PRODUCTION and self.grafana.ldap is None and self.grafana.oidc is None:
            raise not_allowed(
                f"grafana.ldap or grafana.oidc with profile {PRODUCTION}: everybody would share the administrator's "
                "account otherwise"
            )
        if self.profile == PRODUCTION and self.traces.identity is None:
            raise not_allowed(
                f"a traces.identity with profile {PRODUCTION}: nobody could read the traces that they are cleared for "
                "otherwise"
            )
        if (self.reports.recipients is None) != (self.alerting.channels.mail is None):
            raise not_allowed(
                "null for reports.recipients where alerting.channels.mail is null, and for no other stack: reports are "
                "mailed by that server"
            )
        return self

    @model_validator(mode="after")
    def _people_sign_in_somewhere(self) -> Self:
        if self.sign_in and self.traces.identity is None:
            raise not_allowed("null for sign_in where traces.identity is null: nobody could sign in there")
        return self

    @model_validator(mode="after")
    def _two_regions(self) -> Self:
        peer, witness = self.regions.peer, self.regions.witness
        if peer and peer.region == self.region:
            raise not_allowed(f"another regions.peer.region than this one's own ({self.region})")
        if peer and witness is None:
            raise not_allowed("a regions.witness where there is a regions.peer: there both read which one is active")
        if witness and not self.alerting.channels.addresses:
            raise not_allowed(
                "alerting.channels.phone or alerting.channels.mail where there is a regions.witness: a region that "
                "reaches neither is cut off and falls silent"
            )
        if witness and witness.bucket == self.object_storage.bucket:
            raise not_allowed(
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
        raise SettingsError(
            "\n".join(f"{file}: {line}" for line in validation_errors(error, Settings, content))
        ) from None


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
    role_text = pulumi.Config(CONFIG_NAMESPACE).get(ROLE_KEY)
    if role_text not in tuple(Role):
        raise SettingsError(
            f"{file}: {CONFIG_NAMESPACE}:{ROLE_KEY} is {_shown(role_text)}: allowed is {' or '.join(Role)}; run "
            f"`pulumi config set {CONFIG_NAMESPACE}:{ROLE_KEY} {Role.PRIMARY}`, or `ops failover` where a region moves"
        )
    return Role(role_text)


def _shown(content: object) -> str:
    return "missing" if content is None else repr(content)
