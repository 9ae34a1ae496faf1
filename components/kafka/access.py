"""Topics, users, access rules and quotas, made on the running brokers (requirements K2, K4, K5, S2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kafka as kafka

from components.contracts import Credential
from components.kafka.wait_for_brokers import Brokers

_ANY = "*"
SEGMENT_MS: Final = 24 * 60 * 60 * 1000
"""A segment is deleted once its last record is old enough: a record stays for as much longer, at most. Kafka's default
of a week would keep those of a quiet partition for twice as long as promised."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic.

    Attributes:
        name: Name in Kafka.
        partitions: Number of partitions; may only grow.
        retention_ms: How long records are kept.
    """

    name: str
    partitions: int
    retention_ms: int


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One permission."""

    operation: str
    resource_type: str
    resource: str


@dataclass(frozen=True, kw_only=True)
class User:
    """A client and the least that it needs.

    Attributes:
        name: The client's workload name, which is its login's too in the first generation.
        writes: Topics that it writes.
        reads: Topics that it reads, in the consumer group of its own name.
        describes_all: May see (not read) every topic and group, to measure lag.
        grants: Further permissions, one by one, of clients that do not fit the above.
        generation: Of its login, which has a password of its own. While clients change over, each is there twice,
            with the newer generation first (ADR 0062).
    """

    name: str
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    describes_all: bool = False
    grants: tuple[AclRule, ...] = ()
    generation: int = 1

    @property
    def login(self) -> str:
        """User name in Kafka."""
        return self.name if self.generation == 1 else f"{self.name}-g{self.generation}"


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What a user may take of each broker; with more, Kafka delays its answers and refuses nothing.

    Attributes:
        produce: Bytes a second that it may write.
        fetch: Bytes a second that it may read.
        requests: Time of the threads that do requests, in percent of one thread.
    """

    produce: int
    fetch: int
    requests: int

    def config(self) -> dict[str, str]:
        """As Kafka names it."""
        return {
            "producer_byte_rate": str(self.produce),
            "consumer_byte_rate": str(self.fetch),
            "request_percentage": str(self.requests),
        }


def acl_rules(user: User) -> list[AclRule]:
    """The permissions of a user; what is not listed is denied."""
    rules = [AclRule(operation="Write", resource_type="Topic", resource=topic) for topic in user.writes]
    rules += [AclRule(operation="Read", resource_type="Topic", resource=topic) for topic in user.reads]
    if user.reads:
        rules.append(AclRule(operation="Read", resource_type="Group", resource=user.name))
    if user.describes_all:
        rules += [AclRule(operation="Describe", resource_type=kind, resource=_ANY) for kind in ("Topic", "Group")]
    return [*rules, *user.grants]


def topic_config(topic: Topic, *, min_insync_replicas: int, max_message_bytes: int) -> dict[str, str]:
    """Configuration of a topic, with nothing left to the brokers' defaults that could lose a record."""
    return {
        "min.insync.replicas": str(min_insync_replicas),
        "retention.ms": str(topic.retention_ms),
        "segment.ms": str(SEGMENT_MS),
        "max.message.bytes": str(max_message_bytes),
        "compression.type": "snappy",
        "cleanup.policy": "delete",
        "unclean.leader.election.enable": "false",
    }


@dataclass(frozen=True, kw_only=True)
class Access:
    """What the running cluster is to hold.

    Attributes:
        topics: Topics.
        users: Users.
        credentials: Login -> its credential.
        quotas: Client -> what it may take of each broker.
        replication_factor: Copies of every record.
        min_insync_replicas: Copies that must have a record before it counts as written.
        max_message_bytes: Largest record batch.
    """

    topics: Sequence[Topic]
    users: Sequence[User]
    credentials: Mapping[str, Credential]
    quotas: Mapping[str, Quota]
    replication_factor: int
    min_insync_replicas: int
    max_message_bytes: int


def provider(
    parent: pulumi.Resource,
    name: str,
    *,
    bootstrap: Sequence[str],
    admin: Credential,
    authority: pulumi.Input[str],
    after: Sequence[pulumi.Resource],
) -> kafka.Provider:
    """The administrator's connection, through the external listeners.

    Args:
        parent: Component that owns it.
        name: Resource name.
        bootstrap: ``host:port`` of the brokers; known before the brokers exist.
        admin: The administrator.
        authority: Certificate of the authority that signed the brokers' certificates; known once they run.
        after: Brokers, addresses and policies on the way to them. A destroy takes the topics away first, while the
            brokers still answer; the certificate alone does not order it, since it is only read.
    """
    return kafka.Provider(
        name,
        bootstrap_servers=list(bootstrap),
        tls_enabled=True,
        skip_tls_verify=False,
        ca_cert=authority,
        sasl_mechanism="scram-sha512",
        sasl_username=admin.username,
        sasl_password=admin.password,
        timeout=60,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(after)),
    )


def make_access(
    parent: pulumi.Resource, connection: kafka.Provider, brokers: Brokers, access: Access
) -> Mapping[str, pulumi.Output[bool]]:
    """Make topics, users and permissions, once the brokers answer.

    The result is login -> True once the topics, the user and its permissions exist: nobody waits for those of others.

    Topics are protected on every stack: the provider replaces a topic whose partitions shrink, with all its records.
    A quota that changes is replaced too, under the same name: were the new one made first, the removal of the old one
    would take it away. Nobody waits for quotas, so that no client is touched when one changes.
    """

    def options(*, topic: bool = False, quota: bool = False) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=parent,
            provider=connection,
            protect=topic,
            delete_before_replace=quota or None,
            hooks=brokers.hooks(all_for_create=topic),
        )

    topics: list[pulumi.CustomResource] = [
        kafka.Topic(
            topic.name,
            name=topic.name,
            partitions=topic.partitions,
            replication_factor=access.replication_factor,
            config=topic_config(
                topic, min_insync_replicas=access.min_insync_replicas, max_message_bytes=access.max_message_bytes
            ),
            opts=options(topic=True),
        )
        for topic in access.topics
    ]
    ready: dict[str, pulumi.Output[bool]] = {}
    for user in access.users:
        login = kafka.UserScramCredential(
            user.login,
            username=user.login,
            scram_mechanism="SCRAM-SHA-512",
            scram_iterations=4096,
            password=access.credentials[user.login].password,
            opts=options(),
        )
        kafka.Quota(
            user.login,
            entity_name=user.login,
            entity_type="user",
            config=access.quotas[user.name].config(),
            opts=options(quota=True),
        )
        permissions = [
            kafka.Acl(
                f"{user.login}-{rule.operation}-{rule.resource_type}-{rule.resource}".lower().replace(_ANY, "any"),
                acl_principal=f"User:{user.login}",
                acl_host=_ANY,
                acl_operation=rule.operation,
                acl_permission_type="Allow",
                acl_resource_type=rule.resource_type,
                acl_resource_name=rule.resource,
                resource_pattern_type_filter="Literal",
                opts=options(),
            )
            for rule in acl_rules(user)
        ]
        resources = (*topics, login, *permissions)
        ready[user.login] = pulumi.Output.all(*[resource.id for resource in resources]).apply(lambda _: True)
    return ready
